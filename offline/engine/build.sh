#!/usr/bin/env bash
# Builds the Pulumi CLI and its Python language host from their published Go modules, once for
# each content of the go.mod files, and prints the folder that holds them.
set -euo pipefail
cd "$(dirname "$0")"
. ../step.sh

# Builds into folder $1.
build() {
    local sdk
    mkdir "$1/bin" &&
        go build -C cli -trimpath -o "$1/bin/" \
            -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$version" \
            github.com/pulumi/pulumi/pkg/v3/cmd/pulumi &&
        # The last version of the SDK that holds the language host is older than the CLI, hence a
        # module of its own; the scripts beside it come from the CLI's version.
        go build -C language-host -trimpath -ldflags '-s -w' -o "$1/bin/" \
            github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python &&
        sdk=$(cd cli && go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3) &&
        install "$sdk/python/cmd/pulumi-language-python-exec" \
            "$sdk/python/dist/pulumi-resource-pulumi-python" "$1/bin"
}

engine=$cache/engine-$(cat ./*/go.mod | sha256sum | cut -c 1-12)
lock "$engine"
if [ ! -d "$engine" ]; then
    needed=$(sed -n 's/^go //p' cli/go.mod)
    # A Go that may fetch a newer one of itself answers with that one's version.
    found=$(cd cli && go env GOVERSION 2>"$engine.log" || true)
    printf 'go%s\n%s\n' "$needed" "$found" | sort --check=quiet --version-sort || {
        echo "Building the Pulumi CLI needs Go $needed or newer on PATH${found:+, not $found}: install it." >&2
        exit 1
    }
    version=$(sed -nE 's|.*pulumi/pkg/v3 v([0-9.]+).*|\1|p' cli/go.mod)
    new=$(mktemp -d "$cache/building.XXXX")
    trap 'rm -rf "$new"' EXIT
    step "Building the Pulumi CLI $version (about five minutes)" "$engine.log" build "$new"
    mv "$new" "$engine"
    trap - EXIT
fi
echo "$engine/bin"
