#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# symbols_test.sh BUILD_FOLDER: what the compiled library must not have: mutable globals, calls that end the program or write to
# stdout, exported names outside tn_. scripts/check_source.py reads the source, this reads what came of it.
set -u
archive=$1/lib/libtenon.a
shared=$1/lib/libtenon.so
failed=0
expect_none() { # NAME, lines on stdin
    found=$(cat)
    if [ -z "$found" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        echo "$found" | sed 's/^/  /'
        failed=1
    fi
}
[ -f "$archive" ] && [ -f "$shared" ] || { echo "not ok - libtenon is built"; exit 1; }

# .data.rel.ro holds constant tables of pointers: written by the loader only
objdump -t "$archive" | awk '/file format/ {file = $1} / \.(data|bss|tdata|tbss)[.\t ]/ && !/\.data\.rel\.ro/ && !/ d +\./ {print file, $NF}' |
    expect_none "the library has no mutable global"
nm -u -A "$archive" | awk '$NF ~ /^(exit|_exit|_Exit|abort|quick_exit|printf|puts|putchar|system|popen|rand|srand|setlocale|strtok)$/ {print $1, $NF}' |
    expect_none "the library neither ends the program nor writes to stdout"
nm -D --defined-only "$shared" | awk '$NF !~ /^tn_/ {print $NF}' | expect_none "the library exports tn_ names only"
exit $failed
