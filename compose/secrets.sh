#!/usr/bin/env bash
# Makes the secrets of docker-compose.yml in the folder SECRETS: those that are not there yet at random, and those that
# are given (in .env) as they are given. One folder for each service, so that each sees its own. It may run at any time
# again: a password that was made once stays.
#
# POSTGRES, the host and port of the database server, stands in the URLs.
set -euo pipefail
umask "${UMASK:-077}"  # 022 in a container, whose programs run as users of their own
cd "${SECRETS:?the folder to write into}"
mkdir -p postgres minio modelsync airflow

fail() { printf 'secrets: %s\n' "$*" >&2; exit 1; }

write() {  # write FILE TEXT: whole or not at all, for a container may be killed at any time
    printf '%s' "$2" >"$1.new"
    mv "$1.new" "$1"
}

made() {  # made FILE [GIVEN [BYTES]]: what is given, else what is there, else random bytes in hexadecimal
    if [[ -n ${2:-} ]]; then
        write "$1" "$2"
    elif [[ ! -s $1 ]]; then
        write "$1" "$(head -c "${3:-32}" /dev/urandom | od -An -vtx1 | tr -d ' \n')"
    fi
}

if [[ ${POSTGRES_REPLICAS:-1} == 0 && ${AIRFLOW_REPLICAS:-1} != 0 && -z ${AIRFLOW_DATABASE_URL:-} ]]; then
    fail "PostgreSQL is elsewhere (MODELSYNC_DATABASE_URL), so Airflow needs a database too:" \
        "set AIRFLOW_DATABASE_URL, or AIRFLOW_REPLICAS=0 to go without Airflow"
fi

for role in postgres modelsync data airflow; do made "postgres/$role"; done
url() { echo "postgresql://$1:$(<"postgres/$1")@${POSTGRES:?}/$1"; }

write modelsync/database_url "${MODELSYNC_DATABASE_URL:-$(url modelsync)}"
# Where the store is elsewhere, the training data is there as well, unless told otherwise.
write modelsync/data_url "${MODELSYNC_DATA_URL:-${MODELSYNC_DATABASE_URL:-$(url data)}}"

made minio/access_key "" 10  # 20 and 40 characters, as S3's keys have
made minio/secret_key "" 20
if [[ -n ${MODELSYNC_S3_ENDPOINT:-} ]]; then  # elsewhere: the keys that are given, or the machine's own credentials
    write modelsync/s3_access_key "${MODELSYNC_S3_ACCESS_KEY:-}"
    write modelsync/s3_secret_key "${MODELSYNC_S3_SECRET_KEY:-}"
else
    write modelsync/s3_access_key "$(<minio/access_key)"
    write modelsync/s3_secret_key "$(<minio/secret_key)"
fi

made modelsync/train_tokens "${MODELSYNC_TRAIN_TOKENS:-}"
made modelsync/admin_tokens "${MODELSYNC_ADMIN_TOKENS:-}"
made modelsync/webhook_secret "${MODELSYNC_WEBHOOK_SECRET:-}"

write airflow/database_url "${AIRFLOW_DATABASE_URL:-$(url airflow)}"
made airflow/jwt_secret
made airflow/api_secret_key
made airflow/password
write airflow/passwords.json "{\"admin\": \"$(<airflow/password)\"}"
# Fernet takes 32 bytes as URL-safe base64: https://github.com/fernet/spec
[[ -s airflow/fernet_key ]] || write airflow/fernet_key "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
