#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# make_venv.sh FOLDER REQUIREMENTS: a Python environment with these packages beside the system's, made once for each content of the
# file. Exit: 0 when it is there; 77 without a network, 1 otherwise, each with one line on stderr.
set -eu
folder=$1
requirements=$2
python=/usr/bin/python3
[ -x "$python" ] || python=python3

if [ -f "$folder/made" ] && cmp -s "$folder/made" "$requirements"; then exit 0; fi
rm -rf "$folder"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "tenon: installing the packages of $requirements into $folder" >&2
if ! "$python" -m venv --system-site-packages "$folder" >"$log" 2>&1; then
    echo "tenon: cannot make a Python environment: $(tail -n 1 "$log") (apt-get install python3-venv)" >&2
    exit 1
fi
if ! "$folder/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --retries 1 --timeout 30 -r "$requirements" >"$log" 2>&1 </dev/null; then
    rm -rf "$folder"
    echo "tenon: cannot install the packages of $requirements: $(grep -i '^ERROR' "$log" | tail -n 1 | cut -c 1-200)" >&2
    exit 77
fi
cp "$requirements" "$folder/made"
