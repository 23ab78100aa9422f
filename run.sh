#!/usr/bin/env bash
# Runs modelsync on this machine: makes .venv, installs what is missing, serves models_serve/ or the repository gitPath.
# Settings come from the environment or .env (template: env.example); arguments go to `modelsync serve`:
#
#   ./run.sh [--watch]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

scripts/venv.sh
exec .venv/bin/modelsync serve "$@"
