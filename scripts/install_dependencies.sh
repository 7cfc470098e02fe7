#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install_dependencies.sh [--check] GROUP...: installs the packages of these groups of packages.txt that are missing.
#
# As root, or by `sudo -n`; where neither works it prints the one line to paste and exits with 1. --check installs nothing: it
# prints that line if something is missing, and always exits with 0.
set -eu

list=$(dirname "$0")/packages.txt
check_only=false
if [ "${1:-}" = --check ]; then
    check_only=true
    shift
fi
if [ $# -eq 0 ]; then
    echo "usage: scripts/install_dependencies.sh [--check] GROUP...  (groups: $(awk '!/^#/ && NF {print $1}' "$list" | uniq | tr '\n' ' '))" >&2
    exit 1
fi

distribution=unknown
name="this system"
if [ -r /etc/os-release ]; then
    distribution=$(. /etc/os-release && echo "${ID:-unknown}:${VERSION_ID:-}")
    name=$(. /etc/os-release && echo "${PRETTY_NAME:-this system}")
fi

packages=$(awk -v groups=" $* " -v distribution="$distribution" \
    '!/^#/ && NF && index(groups, " " $1 " ") && (NF < 3 || $3 == distribution) {print $2}' "$list")

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
    $check_only && exit 0
    echo "tenon: $name has no apt-get, packages can be installed by this script on Debian 12 and Ubuntu 24.04 only;" \
        "install by hand what stands for" $packages "and run 'make' and build/bin/tenon" >&2
    exit 1
fi

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if $check_only; then
    echo "tenon: missing packages:$missing; to install them: sudo apt-get update && sudo $install" >&2
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    if ! sudo -n true 2>/dev/null; then
        echo "tenon: packages are missing and sudo asks for a password; paste this line, then run the same make again:" >&2
        echo "sudo apt-get update && sudo $install" >&2
        exit 1
    fi
    as_root="sudo -n"
else
    echo "tenon: packages are missing and there is no sudo; paste this line with root's password, then run the same make again:" >&2
    echo "su -c 'apt-get update && $install'" >&2
    exit 1
fi

case $distribution in
debian:12 | ubuntu:24.04) ;;
*) echo "tenon: $name was not tested (Debian 12 and Ubuntu 24.04 are known); trying" >&2 ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    # env after sudo: sudo drops our environment
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}
reason() {
    grep '^[EW]:' "$log" | tail -n 1 | grep . || tail -n 1 "$log"
}

echo "tenon: installing$missing" >&2
# The lists may be old or absent: one update, then a second try, tells a stale list from a missing network.
if ! apt install -y --no-install-recommends $missing; then
    if ! apt update || ! apt install -y --no-install-recommends $missing; then
        echo "tenon: cannot install$missing on $name: $(reason) (is there a network?)" >&2
        exit 1
    fi
fi
