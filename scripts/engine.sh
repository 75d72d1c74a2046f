#!/usr/bin/env bash
# Prints the folder that holds the Pulumi CLI and its Python language host: those on PATH, those
# of Pulumi's own installer, or, where its download is not reachable, those of offline/engine.
set -euo pipefail
cd "$(dirname "$0")/.."

home=${PULUMI_HOME:-$HOME/.pulumi}

# Tells whether folder $1 holds a CLI of major version 3 with the language host.
complete() {
    [ -x "$1/pulumi-language-python" ] && [[ $("$1/pulumi" version 2>/dev/null) == v3.* ]]
}

bin=$(dirname "$(command -v pulumi || echo "$home/bin/pulumi")")
if ! complete "$bin"; then
    bin=$home/bin
    version=$(sed -n 's/^pulumi==//p' requirements.txt)
    # A machine that has built the engine once is not asked for the download again.
    if compgen -G "${XDG_CACHE_HOME:-$HOME/.cache}/podium/engine-*/bin" >/dev/null ||
        ! installer=$(curl --fail --silent --location --max-time 5 https://get.pulumi.com) ||
        ! sh -s -- --version "$version" --no-edit-path <<<"$installer" >&2; then
        bin=$(offline/engine/build.sh)
    fi
fi
echo "$bin"
