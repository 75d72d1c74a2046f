#!/usr/bin/env bash
# Makes sure that a Docker Engine answers: uses the one that does, starts the one that is
# installed, or installs Debian's or Ubuntu's package.
set -euo pipefail
. "$(dirname "$0")/step.sh"

die() {
    echo "$@" >&2
    exit 1
}

answers() {
    timeout 20 docker info >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Removes pid file $1 unless it is the one of a live process $2: a machine that was stopped
# leaves it behind, and the number may meanwhile be another process's.
forget_dead() {
    local pid
    pid=$(as_root cat "$1" 2>/dev/null) || return 0
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] || as_root rm -f "$1"
}

! answers || exit 0
[[ $(docker info 2>&1) != *'permission denied'* ]] ||
    die 'Docker is running, but you lack permission to use it: add yourself to the group "docker" and log in again.'
[ -z "${DOCKER_HOST:-}" ] || die "The Docker Engine at DOCKER_HOST=$DOCKER_HOST does not answer."
as_root true 2>/dev/null ||
    die 'No Docker Engine answers: start it, or install it (https://docs.docker.com/engine/install/).'

install_engine() {
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes docker.io iptables
}

# The daemon's own output goes to a log of its own: it outlives this script.
start_engine() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker
    else
        log=${XDG_CACHE_HOME:-$HOME/.cache}/podium/dockerd.log
        forget_dead /var/run/docker.pid dockerd
        forget_dead /var/run/docker/containerd/containerd.pid containerd
        as_root setsid --fork dockerd >"$log" 2>&1 </dev/null
    fi
    for _ in {1..60}; do
        ! answers || return 0
        sleep 1
    done
    echo "It did not answer within 60 s; its log is ${log:-shown by: journalctl -u docker}."
    return 1
}

if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null ||
        die 'There is no Docker Engine here: install it (https://docs.docker.com/engine/install/).'
    step 'Installing the Docker Engine' docker-install.log install_engine
fi
answers || step 'Starting the Docker Engine' docker-start.log start_engine
