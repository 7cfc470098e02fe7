#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_fresh_machine.sh [--until-user] [FOLDER]: does a fresh Debian 12 machine get from a clone to an answer?
#
# As root, with debootstrap and a network. Makes a minbase bookworm in FOLDER (default: a temporary one), installs make, git and
# ca-certificates in it, clones the committed tree, and runs: `make demo` and `make test` as a user without sudo (who must get
# the line to paste), then as root; then as the user again, now that the packages are there; then without HOME and without a
# network. --until-user stops after the first part. The folder keeps a copy of the bare system for the next time.
set -eu
until_user=false
if [ "${1:-}" = --until-user ]; then
    until_user=true
    shift
fi
source=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d /tmp/tenon-fresh.XXXXXX)}
root=$folder/root

[ "$(id -u)" -eq 0 ] || { echo "check_fresh_machine.sh: run it as root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "check_fresh_machine.sh: install debootstrap first" >&2; exit 1; }
mkdir -p "$folder"

unmount() {
    for mounted in dev/pts dev proc; do umount "$root/$mounted" 2>/dev/null || true; done
}
trap unmount EXIT
trap 'exit 1' HUP INT TERM

if [ ! -f "$folder/minbase.tar" ]; then
    unmount
    rm -rf "$root"
    debootstrap --variant=minbase bookworm "$root" >"$folder/debootstrap.log" 2>&1 || { tail -n 5 "$folder/debootstrap.log"; exit 1; }
    tar -C "$root" -cf "$folder/minbase.tar" .
fi
unmount
rm -rf "$root"
mkdir "$root"
tar -C "$root" -xf "$folder/minbase.tar"
for mounted in proc dev dev/pts; do mount --bind "/$mounted" "$root/$mounted"; done
cp /etc/resolv.conf "$root/etc/resolv.conf"
# how this host reaches the network belongs to the host, not to the fresh machine: hand it over
for file in /etc/pip.conf /etc/apt/apt.conf.d/*proxy*; do [ ! -f "$file" ] || cp "$file" "$root$file"; done

in_root() { # USER COMMAND: a login-like environment; nothing of the caller's but its proxies
    user=$1
    shift
    home=/root
    [ "$user" = root ] || home=/home/$user
    chroot "$root" /usr/bin/env -i HOME="$home" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        setpriv --reuid "$user" --regid "$user" --init-groups sh -c "$*" </dev/null
}
num_failed=0
check() { # DESCRIPTION EXPECTED_STATUS LOG PATTERN STATUS: the run's status and a line of its output
    if [ "$2" = "$5" ] && grep -Eq "$4" "$3"; then
        echo "ok      $1"
    else
        echo "FAILED  $1 (status $5, expected $2, and a line like: $4)"
        tail -n 15 "$3" | sed 's/^/        /'
        num_failed=$((num_failed + 1))
    fi
}
attempt() { # DESCRIPTION EXPECTED_STATUS PATTERN USER COMMAND
    log=$folder/$(echo "$1" | tr -c 'a-zA-Z0-9\n' '-').log
    begin=$(date +%s)
    status=0
    in_root "$4" "$5" >"$log" 2>&1 || status=$?
    check "$1 ($(($(date +%s) - begin)) s)" "$2" "$log" "$3" "$status"
}

in_root root 'apt-get update -q && apt-get install -q -y make git ca-certificates' >"$folder/prepare.log" 2>&1 ||
    { tail -n 5 "$folder/prepare.log"; exit 1; }
# a host behind a certificate authority of its own
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
chroot "$root" useradd --create-home --shell /bin/sh user
git clone -q "$source" "$root/root/tenon"
git clone -q "$source" "$root/home/user/tenon"
chroot "$root" chown -R root:root /root/tenon
chroot "$root" chown -R user:user /home/user/tenon

attempt "user without sudo, make demo: line to paste" 2 "^su -c 'apt-get update && apt-get install -y --no-install-recommends .*cmake" user \
    'cd ~/tenon && make demo'
attempt "user without sudo, make test: line to paste" 2 "^su -c 'apt-get update && apt-get install -y --no-install-recommends .*libcmocka-dev" \
    user 'cd ~/tenon && make test'
if ! $until_user; then
    attempt "root, make demo" 0 "^> " root 'cd ~/tenon && make demo'
    attempt "root, make demo installed no test package" 1 "no packages? found|not.*installed" root 'dpkg-query -W libcmocka-dev'
    attempt "root, make demo again" 0 "^> " root 'cd ~/tenon && make demo'
    attempt "root, make test" 0 "^[0-9]+ passed, 0 failed, [0-9]+ skipped$" root 'cd ~/tenon && make test'
    attempt "user, packages there, make demo" 0 "^> " user 'cd ~/tenon && make demo'
    attempt "no HOME, make demo: one clear line" 2 "^tenon: .*TENON_CACHE" user 'cd ~/tenon && unset HOME && make demo'
    attempt "no network, make test: the model's tests are skipped" 0 "^[0-9]+ passed, 0 failed, [1-9][0-9]* skipped$" root \
        'cd ~/tenon && TENON_CACHE=/tmp/empty unshare --net make test'
fi
echo "logs: $folder"
[ $num_failed -eq 0 ]
