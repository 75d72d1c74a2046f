# The environment in which pulumi runs for this project, to be sourced by bash or zsh:
#     . scripts/env.sh genuine|offline
# "offline" puts Podium's own drivers on PATH, which Pulumi then uses instead of its plugins.
# shellcheck shell=bash

case ${1:-} in
    genuine | offline) ;;
    *)
        echo 'usage: . scripts/env.sh genuine|offline' >&2
        return 2
        ;;
esac
podium_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
podium_drivers=$podium_root/offline/bin
podium_cli=$("$podium_root/scripts/engine.sh") || return

PATH=$podium_cli:${PATH//"$podium_drivers:"/}
[ "$1" = genuine ] || PATH=$podium_drivers:$PATH
export PATH=$podium_root/.venv/bin:$PATH
export PODIUM_PYTHON=$podium_root/.venv/bin/python
export PULUMI_SKIP_UPDATE_CHECK=true

if [ -z "${PULUMI_CONFIG_PASSPHRASE+set}${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ]; then
    export PULUMI_CONFIG_PASSPHRASE_FILE=${XDG_CONFIG_HOME:-$HOME/.config}/podium/passphrase
    [ -s "$PULUMI_CONFIG_PASSPHRASE_FILE" ] || (
        umask 077
        mkdir -p "$(dirname "$PULUMI_CONFIG_PASSPHRASE_FILE")"
        head -c 24 /dev/urandom | base64 >"$PULUMI_CONFIG_PASSPHRASE_FILE"
    )
fi

# Whoever is logged in to a backend, or names one, keeps it.
if [ -z "${PULUMI_BACKEND_URL:-}${PULUMI_ACCESS_TOKEN:-}" ] &&
    ! grep -qs '"current": *"[^"]' "${PULUMI_HOME:-$HOME/.pulumi}/credentials.json"; then
    pulumi login --local >&2
fi
unset podium_root podium_drivers podium_cli
