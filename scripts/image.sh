#!/usr/bin/env bash
# Builds the container image with whatever builder is here: `scripts/image.sh [TAG]`, by default modelsync:latest.
#
# TARGET=slim builds the image without libraries for models, by default modelsync:slim (docs/image.md). BASE=image@digest
# chooses another base, COMPILED= (empty) an image whose predict path is not compiled. The host's own pip configuration,
# package sources and certificates are lent to the build where the builder can mount files (buildah, podman), and are not
# left in the image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${TARGET:-full}
[[ $target == full ]] && default=latest || default=$target
arguments=(--tag "${1:-modelsync:$default}" --target "$target" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)")
[[ -n ${BASE:-} ]] && arguments+=(--build-arg "BASE=$BASE")
[[ -n ${COMPILED+set} ]] && arguments+=(--build-arg "COMPILED=$COMPILED")

lent=()
lend() { [[ -e $1 ]] && lent+=(--volume "$(realpath "$1"):$2:ro"); return 0; }
lend /etc/pip.conf /etc/pip.conf
for file in "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do lend "$file" /etc/xdg/pip/pip.conf; done
lend "${PIP_FIND_LINKS:-/nonexistent}" "${PIP_FIND_LINKS:-/nonexistent}"
lend /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt

runtime=()
command -v crun >/dev/null || { command -v runc >/dev/null && runtime=(--runtime runc); }

if command -v buildah >/dev/null; then
    exec buildah bud --layers --format docker --network host "${runtime[@]}" "${lent[@]}" "${arguments[@]}" .
elif command -v podman >/dev/null; then
    exec podman "${runtime[@]}" build --layers --format docker --network host "${lent[@]}" "${arguments[@]}" .
elif command -v docker >/dev/null; then
    exec docker build "${arguments[@]}" .
fi
echo "image.sh: no image builder here; install docker, podman or buildah" >&2
exit 1
