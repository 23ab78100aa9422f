#!/usr/bin/env bash
# Makes a virtual environment and installs into it, with uv, or with pip where no uv can be had. Step by step, in order:
#
#   scripts/libraries.sh VENV STEP...
#
#   create             an empty environment of $PYTHON
#   interpreter=TEXT   a note in VENV/.interpreter of what it was made of, for a later run if this one is cut short
#   lock=FILE          what a lock file names, verified by its hashes
#   lean               without their tests, C headers and symbols for debuggers
#   models=FILE        requirements-models.txt, if it is there, which may not change what FILE, a lock file, names
#   editable           modelsync itself, as this folder; wheel=FILE: from a wheel
#   build=FOLDER       a wheel of modelsync, for that; compiled=FOLDER: one with extension modules, which needs a compiler
#   compile            bytecode of all files but tests
#   warm               bytecode of what the service and the examples import, which takes a fifth of that time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'modelsync: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-python3} venv=$1 own=requirements-models.txt
shift

uv() { PYTHONSAFEPATH='' "$python" -m scripts.uv "$@"; }  # scripts/ is found in the current directory
tool=uv
uv --version >/dev/null || { tool=pip; echo "modelsync: taking pip instead, which is slower" >&2; }

create() {
    if [[ $tool == uv ]]; then
        uv venv --quiet --clear --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null \
            || fail "$python has neither uv nor pip; install one of them (Debian: apt install python3-venv)"
        "$python" -m venv --clear "$venv"
    fi
}

install() {  # what follows, uv and pip understand alike
    if [[ $tool == uv ]]; then
        uv pip install --quiet --python "$venv/bin/python" "$@"
    else
        # An environment that uv made has no pip.
        "$venv/bin/python" -c 'import pip' 2>/dev/null || "$venv/bin/python" -m ensurepip >/dev/null 2>&1 \
            || fail "uv has made $venv, and now there is neither uv nor a pip for it;" \
                "install one of them (Debian: apt install python3-venv)"
        # It warns of editable installations, each time.
        PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check "$@" >&2
    fi
}

from_lock() {
    install --require-hashes --no-deps --requirement "$1" || fail "$tool could not install $1; its message is above"
}

# Nothing imports them outside of tests, which the tests of the image find out. Only what we lock: of the libraries that
# models need nobody knows it. Libraries that were moved into a wheel (*.libs) have been changed in ways that strip breaks.
lean() {
    local site
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    find "$site" -depth -type d \( -name tests -o -path '*/onnx/backend/test' -o -path '*/pyarrow/include' \
        -o -path '*/pyarrow/src' \) -exec rm -rf {} +
    ! command -v strip >/dev/null \
        || find "$site" -type f -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
}

# The user's own lines, over ours, which are constraints; without hashes, for else the user's would need them too.
of_models() {
    local pins=$venv/pins.txt
    sed -nE 's/^([A-Za-z0-9._-]+==[^\\]*)\\?$/\1/p' "$1" >"$pins"
    [[ ! -f requirements.txt ]] || install --constraint "$pins" --requirement requirements.txt \
        || fail "requirements.txt does not match $1 (see above). A library for your models belongs into $own;" \
            "after changing a pin, run \`make lock\`"
    [[ -f $own ]] || return 0
    install --constraint "$pins" --requirement "$own" \
        || fail "$own cannot be installed beside the service's own libraries (see above). Change its line;" \
            "or, if a model needs another version of one of ours, its pin in requirements.txt, and run \`make lock\`"
}

modelsync() {
    install --no-deps "$@" || fail "$tool could not install modelsync itself; its message is above"
}

build() {  # build FOLDER TREE: a wheel of the project in TREE
    if [[ $tool == uv ]]; then
        uv build --quiet --wheel --out-dir "$1" "$2"
    else
        "$venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$1" "$2"
    fi || fail "$tool could not build modelsync; its message is above"
}

compiled() {
    local tree
    tree=$(mktemp -d)
    "$python" -m scripts.extension_modules "$tree/modelsync"
    build "$1" "$tree/modelsync"
    rm -rf "$tree"
}

bytecode() { "$venv/bin/python" -m compileall -qq "$@" || true; }

# Python writes bytecode as it imports, but one file after the other, each process again while there is none, and never
# where PYTHONDONTWRITEBYTECODE is set. Importing in two processes takes half the time. An import that fails here is
# reported when it matters.
warm() {
    imports() { env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -c "import $1" 2>/dev/null || true; }
    imports 'joblib, sklearn.linear_model, sklearn.pipeline' &
    imports 'pandas, pydantic, click, flask, git, gunicorn.app.base, orjson, prometheus_client, requests, rich.console' &
    bytecode modelsync
    wait
}

for step in "$@"; do
    case $step in
        create) create ;;
        interpreter=*) echo "${step#*=}" >"$venv/.interpreter" ;;
        lock=*) from_lock "${step#*=}" ;;
        lean) lean ;;
        models=*) of_models "${step#*=}" ;;
        editable) modelsync --editable . ;;
        wheel=*) modelsync "${step#*=}" ;;
        build=*) build "${step#*=}" . ;;
        compiled=*) compiled "${step#*=}" ;;
        compile) bytecode -j 0 -x /tests/ "$venv/lib"; [[ ! -d modelsync ]] || bytecode modelsync ;;
        warm) warm ;;
        *) fail "libraries.sh: no such step: $step" ;;
    esac
done
