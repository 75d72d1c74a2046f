#!/usr/bin/env bash
# Makes the virtual environment .venv and installs what the requirements files pin, again only
# when one of them or the interpreter changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. cli/setup/step.sh

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Podium needs Python 3.11 or newer as python3; found: $(python3 --version 2>&1)." >&2
    exit 1
}
stamp=.venv/requirements.sha256
files=({,cli/,offline/,offline/kestra/,offline/kestra/engine/,report/}requirements.txt requirements-dev.txt)
current=$({ python3 --version && cat "${files[@]}"; } | sha256sum)
[ "$(cat "$stamp" 2>/dev/null)" != "$current" ] || exit 0

python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo 'Python lacks its module venv; on Debian and Ubuntu, install the package python3-venv.' >&2
    exit 1
}
install() {
    python3 -m venv .venv &&
        .venv/bin/pip install --disable-pip-version-check --requirement requirements-dev.txt
}
step 'Installing the Python packages' venv.log install
echo "$current" >"$stamp"
