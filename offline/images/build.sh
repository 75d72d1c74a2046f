#!/usr/bin/env bash
# Builds the images of the offline stack that are missing: offline/images/build.sh [name[:tag]...]
# An image counts as present when its label holds the hash of everything it is built from, the
# base image included, so a changed file builds it anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
. offline/step.sh

declare -A tags=([base]=bookworm)
while IFS=: read -r name tag; do
    tags[$name]=$tag
done < <(sed -n 's|.*: podium-offline/||p' offline/stack.yaml)
# What the images of other tags than those are built with.
declare -A arguments=(
    [postgres:18]="PG_MAJOR=18 PGDATA=/var/lib/postgresql/18/docker VOLUME=/var/lib/postgresql"
)
# What else is in the context of an image beside its own folder.
declare -A sources=(
    [kestra]="offline/__init__.py offline/kestra"
    [pgadmin4]=offline/images/postgres/unpack.sh
)

# Prints the build context of image $1 as a tar archive, the same for the same files; what
# follows goes to tar.
context() {
    # shellcheck disable=SC2086  # sources are several words
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go=rX,u=rwX \
        --exclude=__pycache__ "offline/images/$1" ${sources[$1]:-} "${@:2}"
}

# Leaves in folder $1 what pip needs inside a build to install as it does on this machine: the
# certificates it trusts and the index it uses. It reaches the builder stages only.
pip_settings() {
    local bundle=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
    mkdir "$1"
    echo '[global]' >"$1/pip.conf"
    # A variable is listed before, and counts more than, the same setting in a file.
    "$python" -m pip config list | sed -nE \
        "s/^(:env:|global)\.(index-url|extra-index-url|trusted-host)='(.*)'$/\2 = \3/p" |
        awk '!seen[$1]++' >>"$1/pip.conf"
    if [ -f "$bundle" ]; then
        cp "$bundle" "$1/ca.pem"
        echo 'cert = /pip/ca.pem' >>"$1/pip.conf"
    fi
}

make_base() {
    $sudo offline/images/base/bootstrap.sh >"$scratch/base.tar" && docker import \
        --change "LABEL podium.offline=true podium.context=$1" \
        --change 'CMD ["bash"]' "$scratch/base.tar" "podium-offline/base:${tags[base]}"
}

# Sets Kestra's engine up in the cache, as the locks in its sources say, and leaves in $engine what
# belongs to the context of its image: all but the archives, which fit nothing but this machine.
set_up_kestra() {
    local classes
    classes=$("$python" -m offline.kestra.engine classes "${tags[kestra]#v}")
    engine=(--exclude='*.jsa' --directory "${cache%/*}" "podium/$(basename "${classes%/*}")")
}

make_image() {
    local argument options=()
    for argument in ${arguments[$1:${tags[$1]}]:-}; do
        options+=(--build-arg "$argument")
    done
    context "$1" --directory "$scratch" pip "${engine[@]}" | docker build --force-rm \
        --tag "podium-offline/$1:${tags[$1]}" --label "podium.context=$2" "${options[@]}" \
        --file "offline/images/$1/Dockerfile" -
}

build() {
    local name=$1 image=podium-offline/$1:${tags[$1]} hash
    hash=$({ context "$name" && echo "$base_hash"; } | sha256sum | cut -d ' ' -f 1)
    [ "$name" != base ] || base_hash=$hash
    [ -z "$(docker images --quiet --filter "reference=$image" --filter "label=podium.context=$hash")" ] ||
        return 0
    local engine=() make=(make_image "$name")
    case $name in
        base) make=(make_base) ;;
        kestra) set_up_kestra ;;
    esac
    step "Building the image $image" "$logs/$name.log" "${make[@]}" "$hash"
}

wanted=()
[ $# != 0 ] || for name in "${!tags[@]}"; do
    # Few stacks have a gateway: its image is built on demand.
    [ "$name" = caddy ] || set -- "$@" "$name"
done
for image in "$@"; do
    name=${image%:*}
    if [ -n "${arguments[$image]:-}" ]; then
        tags[$name]=${image#*:}
    elif [ "$image" != "$name:${tags[$name]:-}" ] && [ -z "${tags[$image]:-}" ]; then
        echo "There is no image \"$image\"; there are: ${!tags[*]} ${!arguments[*]}." >&2
        exit 2
    fi
    wanted+=("$name")
done

python=${PODIUM_PYTHON:-.venv/bin/python}
logs=$cache/images
mkdir -p "$logs"
lock "$logs/build"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pip_settings "$scratch/pip"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

base_hash=
build base
for name in "${wanted[@]}"; do
    [ "$name" = base ] || build "$name"
done
