#!/usr/bin/env bash
# Runs tests against the wheel: it is built, installed into an environment outside of this folder, and tested from a copy
# of the repository that has no modelsync/. `scripts/test_wheel.sh [PYTEST ARGUMENT...]`; PYTHON chooses the interpreter,
# and COMPILED=1 the wheel with extension modules (scripts/extension_modules.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PYTHON=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/modelsync-wheel.XXXXXX")
trap 'rm -rf "$work"' EXIT

tree=.
if [[ -n ${COMPILED:-} ]]; then
    tree=$work/tree
    "$PYTHON" -m scripts.extension_modules "$tree"
fi
"$PYTHON" -m scripts.uv build --quiet --wheel --out-dir "$work/dist" "$tree"
wheel=("$work"/dist/modelsync-*.whl)
scripts/libraries.sh "$work/venv" create lock=requirements-dev.lock "wheel=${wheel[0]}" warm

mkdir "$work/repository"
git ls-files -z --cached --others --exclude-standard -- . ':!modelsync' \
    | tar --create --null --ignore-failed-read --files-from=- 2>/dev/null | tar --extract --directory="$work/repository"
cd "$work/repository"

# What a package can lack: the command and what it starts, its templates and pages, a whole service that swaps releases, a
# runner, the migrations of the store. All else is the same code as in the checkout, where it is tested.
chosen=(tests/cli/test_check.py tests/cli/test_command.py tests/cli/test_generate.py tests/cli/test_new.py)
chosen+=(tests/cli/test_schema.py tests/cli/test_serve.py tests/cli/test_sync.py tests/test_examples.py)
chosen+=(tests/api/test_pages.py tests/models/test_generator.py tests/models/test_scaffold.py)
chosen+=(tests/service/test_swap.py tests/store/test_migrations.py tests/training/test_labels.py)
# Of the extension modules, whatever runs through them, of services too: they are other code than the checkout's.
if [[ -n ${COMPILED:-} ]]; then
    chosen=(tests/test_extension_modules.py tests/server tests/inference tests/protocols tests/observability)
    chosen+=(tests/models/test_results.py tests/service/test_{access_log,batching,ending,faults_hanging}.py)
    chosen+=(tests/service/test_{faults_predicting,forks,hangs_in_c,rejected_requests,rows,swap}.py)
fi
[[ " $* " == *" tests/"* ]] && chosen=()
unset PYTHONPATH
"$work/venv/bin/python" -c 'import modelsync; print("testing", modelsync.__version__, "in", *modelsync.__path__)'
"$work/venv/bin/python" -m pytest -n auto --dist worksteal -m "not (image or cluster or isolation or training or airflow or compose or jobs or long)" "${chosen[@]}" "$@"
