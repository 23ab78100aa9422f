#!/usr/bin/env bash
# Run by PostgreSQL's image when its volume is new: a role and a database of its own for the store (modelsync), the
# training data (data) and Airflow (airflow). Their passwords are files of the folder SECRETS, which psql itself reads,
# so that they stand in no list of processes. May run again.
set -euo pipefail

for role in modelsync data airflow; do
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
        --set role="$role" --set file="${SECRETS:?}/$role" <<'SQL'
\set password `cat :'file'`
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
SQL
done
