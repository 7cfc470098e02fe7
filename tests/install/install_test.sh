#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install_test.sh BUILD_FOLDER C_COMPILER: what `make install` gives can be used: headers that stand alone, libraries that link.
set -u
build=$1
cc=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
result() { # STATUS NAME
    if [ "$1" -eq 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat "$work/log"; failed=1; fi
}

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1
result $? "the tree installs into a prefix"
[ $failed -eq 0 ] || exit 1
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name tenon.pc)")
export PKG_CONFIG_PATH

for header in "$work"/prefix/include/tenon/*.h; do
    name=tenon/$(basename "$header")
    echo "#include <$name>" >"$work/one.c"
    echo "typedef int not_empty;" >>"$work/one.c"
    "$cc" -std=c11 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags tenon) -fsyntax-only "$work/one.c" >"$work/log" 2>&1
    result $? "$name stands alone in plain C11"
done

"$cc" -std=c11 $(pkg-config --cflags tenon) "$here/hello.c" -o "$work/shared" $(pkg-config --libs tenon) >"$work/log" 2>&1 &&
    LD_LIBRARY_PATH=$(dirname "$(find "$work/prefix" -name libtenon.so)") "$work/shared" >"$work/log" 2>&1
result $? "a program runs with the shared library"

rm -f "$(find "$work/prefix" -name libtenon.so)"
"$cc" -std=c11 $(pkg-config --cflags tenon) "$here/hello.c" -o "$work/static" $(pkg-config --static --libs tenon) >"$work/log" 2>&1 &&
    "$work/static" >"$work/log" 2>&1
result $? "a program runs with the static library"
exit $failed
