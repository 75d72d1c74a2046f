#!/usr/bin/env bash
# Checks the workflows of GitHub Actions. Its PyPI package downloads a program when it is installed,
# the Go module needs Go only: without it the check is left out, but not in CI.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v go >/dev/null; then
    echo 'The workflows are not checked: actionlint needs Go on PATH.' >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
[ ! -d .github/workflows ] || go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
