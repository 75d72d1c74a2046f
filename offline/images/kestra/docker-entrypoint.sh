#!/bin/sh
exec /venv/bin/python -m offline.kestra "$@"
