#!/usr/bin/env bash
# Makes .venv and installs what the lock file names and requirements-models.txt asks for, if that is not there yet:
# `scripts/venv.sh [--dev]`.
#
# Safe to run several times at once: one installs, the others wait. A run that was cut short leaves no stamp, so the
# next one installs again. The package index is the one that pip is configured for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'modelsync: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null \
    || fail "$python is not here; install Python 3.11 or newer (Debian: apt install python3)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$("$python" --version) is too old: Python 3.11 or newer is needed (set PYTHON=python3.12, for instance)"
command -v git >/dev/null || fail "git is not here; install it (Debian: apt install git)"

kind=run lock=requirements.lock
[[ ${1:-} == --dev ]] && kind=dev lock=requirements-dev.lock

interpreter=$("$python" -c 'import sys; print(sys.version, sys.prefix)'; pwd)
digest() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
stamp_of() {  # stamp_of LOCK: the digest of all that decides what .venv holds
    local files=("$1" requirements.txt pyproject.toml)
    [[ ! -f requirements-models.txt ]] || files+=(requirements-models.txt)
    { cat "${files[@]}"; echo "$interpreter"; } | digest
}
wanted=$(stamp_of "$lock")

same() { [[ -f $1 && $(<"$1") == "$2" ]]; }
installed() { [[ -x .venv/bin/modelsync ]] && same ".venv/.stamp-$kind" "$wanted"; }
installed && exit 0

# The lock belongs to the open file, which python and this shell share; it ends with the shell.
exec 9<>requirements.txt
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
installed && exit 0

# Scripts in .venv hold its path and its interpreter: another of either needs a new one.
steps=("interpreter=$interpreter" "lock=$lock" "models=$lock" editable)
if [[ ! -x .venv/bin/python ]] || { [[ -f .venv/.interpreter ]] && ! same .venv/.interpreter "$interpreter"; }; then
    steps=(create "${steps[@]}")
fi

[[ $kind == dev ]] && steps+=(compile) || steps+=(warm)

# A stamp of other files would be true again when these are changed back, and then .venv holds something else.
for other in run:requirements.lock dev:requirements-dev.lock; do
    stamp=.venv/.stamp-${other%%:*}
    if [[ -f $stamp ]] && ! same "$stamp" "$(stamp_of "${other#*:}")"; then : >"$stamp"; fi
done

echo "modelsync: installing $lock into .venv (some seconds the first time)" >&2
PYTHON=$python scripts/libraries.sh .venv "${steps[@]}"
echo "$wanted" >".venv/.stamp-$kind"
