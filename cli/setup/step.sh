# Defines `step`, to be sourced by the scripts of this folder.
# shellcheck shell=bash

# step TITLE LOG COMMAND...: runs the command, prints one line with the time it took, and writes
# what the command prints to the log file, which is named when the command fails.
step() {
    local title=$1 log=${XDG_CACHE_HOME:-$HOME/.cache}/podium/$2 begin=$SECONDS
    shift 2
    mkdir -p "${log%/*}"
    [ ! -t 2 ] || printf '%s ...\r' "$title" >&2
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "$title failed; the whole log is $log." >&2
        exit 1
    fi
    echo "$title: $((SECONDS - begin)) s" >&2
}
