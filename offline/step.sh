# What the build scripts share, to be sourced: where they cache, and how they report a step.
# shellcheck shell=bash

cache=${XDG_CACHE_HOME:-$HOME/.cache}/podium
mkdir -p "$cache"

# Runs a command as one step: one line on standard error with the seconds it took.
#     step TITLE LOG COMMAND...
# What the command prints goes to the file LOG, which is named when the command fails.
step() {
    local title=$1 log=$2 begin=$SECONDS
    shift 2
    [ ! -t 2 ] || printf '%s ...\r' "$title" >&2
    "$@" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        echo "$title: failed after $((SECONDS - begin)) s. The whole log is $log." >&2
        exit 1
    }
    echo "$title: $((SECONDS - begin)) s" >&2
}

# Waits until no other process builds into folder $1, and keeps others waiting until this one ends.
lock() {
    exec 9>"$1.lock"
    flock 9
}
