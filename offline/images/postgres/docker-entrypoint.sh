#!/usr/bin/env bash
# Starts PostgreSQL, and creates its data directory first if there is none: the variables, the
# folder /docker-entrypoint-initdb.d and the rules are those documented for the image "postgres".
set -eo pipefail  # not -u: scripts of the user's are sourced below

die() {
    echo "$@" >&2
    exit 1
}

# Sets variable $1 from itself, from the file that $1_FILE names, or to the default $2.
setting() {
    local file=$1_FILE
    if [ -n "${!file}" ]; then
        [ -z "${!1}" ] || die "error: both $1 and $file are set (but are exclusive)"
        printf -v "$1" %s "$(<"${!file}")"
    fi
    export "$1=${!1:-$2}"
    unset "$file"
}

# Runs SQL in the server that is being set up; arguments go to psql. Scripts of the user's know it
# by this name.
docker_process_sql() {
    psql --set ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" \
        --dbname "$POSTGRES_DB" "$@"
}

initialise() {
    if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
        echo 'WARNING: POSTGRES_HOST_AUTH_METHOD is "trust": whoever reaches the port needs no password.' >&2
    elif [ -z "$POSTGRES_PASSWORD" ]; then
        die 'Error: Database is uninitialized and superuser password is not specified.' \
            'You must specify POSTGRES_PASSWORD to a non-empty value for the superuser.'
    fi
    [ -z "$POSTGRES_INITDB_WALDIR" ] || die 'Error: POSTGRES_INITDB_WALDIR is not supported here.'
    ls /docker-entrypoint-initdb.d >/dev/null # fails here if the folder may not be read

    # Everything happens in a folder inside the data directory and moves up when it is done,
    # PG_VERSION last, so that an interrupted initialisation starts over.
    local data=$PGDATA
    export PGDATA=$data/.initialising
    if [ -e "$PGDATA" ]; then
        find "$data" -mindepth 1 -delete
    elif [ -n "$(ls -A "$data")" ]; then
        die "Error: $data is not empty and holds no database (PG_VERSION is missing)."
    fi

    # The official image's socket is in the first folder; these programs look into the second.
    # POSTGRES_INITDB_ARGS is a command line, quotes and all.
    eval "initdb --set=unix_socket_directories=/var/run/postgresql,/tmp --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") $POSTGRES_INITDB_ARGS"
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}" \
        >>"$PGDATA/pg_hba.conf"

    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    pg_ctl --wait --options "$(printf '%q ' "$@" -c listen_addresses='')" start
    [ "$POSTGRES_DB" = postgres ] ||
        docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'

    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "$0: $file"
        case $file in
            *.sh)
                # shellcheck disable=SC1090  # the user's own script
                if [ -x "$file" ]; then "$file"; else . "$file"; fi
                ;;
            *.sql) docker_process_sql --file "$file" ;;
            *.sql.gz) zcat "$file" | docker_process_sql ;;
            *.sql.xz) xzcat "$file" | docker_process_sql ;;
            *.sql.zst) zstdcat "$file" | docker_process_sql ;;
            *) echo "$0: ignoring $file" ;;
        esac
    done
    pg_ctl --wait --mode fast stop
    unset PGPASSWORD

    find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv --target-directory "$data" {} +
    mv "$PGDATA/PG_VERSION" "$data"
    rmdir "$PGDATA"
    export PGDATA=$data
    echo 'PostgreSQL init process complete; ready for start up.'
}

case $1 in
    -*) set -- postgres "$@" ;;
esac
if [ "$1" = postgres ] && [[ ! " $* " =~ \ (--help|-\?|--version|-V|--describe-config)\  ]]; then
    setting POSTGRES_PASSWORD
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS
    mkdir -p "$PGDATA"
    if [ "$(id -u)" = 0 ]; then
        chmod 700 "$PGDATA"
        find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
        HOME=/var/lib/postgresql exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
    fi
    if [ -s "$PGDATA/PG_VERSION" ]; then
        echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
    else
        shopt -s nullglob
        initialise "${@:2}"
    fi
fi
exec "$@"
