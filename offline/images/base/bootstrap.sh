#!/usr/bin/env bash
# Writes the file system of a minimal Debian bookworm to standard output, as a tar archive.
# It comes from the mirror the machine's own apt uses, or debootstrap's own where the machine
# is not a Debian. Needs root, as debootstrap does.
set -euo pipefail

command -v debootstrap >/dev/null || {
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends debootstrap debian-archive-keyring
} >&2

mirror=
if [ "$(. /etc/os-release && echo "$ID")" = debian ]; then
    # One-line sources put the URI after "deb" and its options, deb822 ones after "URIs:".
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
        sed -nE 's/^(deb +(\[[^]]*\] +)?|URIs: *)([^ ]+).*/\3/p' | grep -m 1 '/debian/*$') || true
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >&2

# Packages may not start services while an image is built, and bring no manuals along.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/90-no-recommends"
printf 'path-exclude=/usr/share/%s/*\n' doc man >"$root/etc/dpkg/dpkg.cfg.d/90-no-manuals"
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/usr/share/{doc,man}/*

tar --create --numeric-owner --directory "$root" .
