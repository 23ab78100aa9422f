#!/usr/bin/env bash
# Starts all parts of Airflow, with the password of the user admin that compose/secrets.sh has made. Airflow wants to
# write to the file that it reads it from, so it gets a copy.
set -euo pipefail

install -m 600 "${SECRETS:?}/passwords.json" "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow standalone
