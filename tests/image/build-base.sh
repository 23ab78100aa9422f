#!/usr/bin/env bash
# Makes the image that stands under the Dockerfile's base name where no registry can be reached: a minimal Debian with
# Python, without pip and venv, from the package mirror this machine already uses. Does nothing where an image of that
# name is there.
#
#   tests/image/build-base.sh [NAME]      (default: the Dockerfile's own default base)
#
# DEBIAN_MIRROR and DEBIAN_SUITE choose another mirror and release. Needs root, debootstrap and podman.
set -euo pipefail

name=${1:-docker.io/library/python:3.11-slim}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
suite=${DEBIAN_SUITE:-bookworm}

if podman image exists "$name"; then
    echo "build-base: $name is there already"
    exit 0
fi

root=$(mktemp -d "${TMPDIR:-/var/tmp}/modelsync-base.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT

echo "build-base: debootstrap $suite from $mirror"
debootstrap --variant=minbase --include=python3,ca-certificates \
    "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { tail -20 "$root.log" >&2; rm -f "$root.log"; exit 1; }
rm -f "$root.log"
# As the image that it stands for, which has neither manuals nor translations; licences stay.
rm -rf "$root"/var/cache/apt/* "$root"/usr/share/{info,locale,man}/*
find "$root/usr/share/doc" ! -type d ! -name copyright -delete

tar -C "$root" -c . | podman import - "$name" >/dev/null
echo "build-base: made $name"
