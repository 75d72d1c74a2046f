#!/usr/bin/env bash
# Installs Debian's chromium, in which CI tests the pages, if it is missing and can be installed.
set -euo pipefail
. "$(dirname "$0")/step.sh"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_chromium() {
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes chromium
}

! command -v chromium >/dev/null || exit 0
command -v apt-get >/dev/null && as_root true 2>/dev/null || exit 0
# Elsewhere than in CI, tests without it are skipped.
(step 'Installing chromium' chromium.log install_chromium) || [ -z "${CI:-}" ]
