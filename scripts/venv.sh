#!/usr/bin/env bash
# Makes .venv and installs what the requirement files ask for, if that is not there yet: `scripts/venv.sh [--dev]`.
#
# Safe to run several times at once: one installs, the others wait. A run that was cut short leaves no stamp, so the
# next one installs again. pip uses whatever index it is configured for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'modelsync: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null \
    || fail "$python is not here; install Python 3.11 or newer (Debian: apt install python3)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$("$python" --version) is too old: Python 3.11 or newer is needed (set PYTHON=python3.12, for instance)"
command -v git >/dev/null || fail "git is not here; install it (Debian: apt install git)"

kind=run files=(requirements.txt)
[[ ${1:-} == --dev ]] && kind=dev files+=(requirements-dev.txt)

interpreter=$("$python" -c 'import sys; print(sys.version, sys.prefix)'; pwd)
digest() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
wanted=$({ cat "${files[@]}" pyproject.toml; echo "$interpreter"; } | digest)

same() { [[ -f $1 && $(<"$1") == "$2" ]]; }
installed() { [[ -x .venv/bin/modelsync ]] && same ".venv/.stamp-$kind" "$wanted"; }
installed && exit 0

# The lock belongs to the open file, which python and this shell share; it ends with the shell.
exec 9<>requirements.txt
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
installed && exit 0

"$python" -c 'import venv' 2>/dev/null \
    || fail "$python cannot make virtual environments; install its venv package (Debian: apt install python3-venv)"

# Scripts in .venv hold its path and its interpreter: another of either needs a new one.
if [[ ! -x .venv/bin/python ]] || { [[ -f .venv/.interpreter ]] && ! same .venv/.interpreter "$interpreter"; }; then
    with_pip=()
    "$python" -c 'import ensurepip' 2>/dev/null || with_pip=(--without-pip)
    "$python" -m venv --clear "${with_pip[@]}" .venv
fi
.venv/bin/python -c 'import pip' 2>/dev/null || .venv/bin/python scripts/bootstrap_pip.py \
    || fail "pip cannot be had from the package index; see above, or install it (Debian: apt install python3-venv)"
echo "$interpreter" >.venv/.interpreter

echo "modelsync: installing ${files[*]} into .venv (about a minute the first time)" >&2
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@" >&2; }
requirements=()
for file in "${files[@]}"; do requirements+=(--requirement "$file"); done
pip install --quiet "${requirements[@]}" || fail "pip could not install ${files[*]}; its message is above"
# It warns of editable installations, each time.
PYTHONWARNINGS=ignore pip install --quiet --no-deps --editable . || fail "pip could not install modelsync itself; its message is above"
echo "$wanted" >".venv/.stamp-$kind"
