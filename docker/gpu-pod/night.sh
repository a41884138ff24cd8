#!/bin/sh
# One night on a rented card: install what is missing, read until the deadline, keep the log, and give the card back.
# STOP_COMMAND is run whatever happens: when the run has ended, however it ended, and MAX_HOURS after the start by a
# process that depends on nothing here. README.md beside this file has the rest.
#
# usage: [SETTINGS=FILE] docker/gpu-pod/night.sh [flags of `pagemill run`]
set -u

# Settings and credentials, as in docker/pagemill.env.example; they may as well stand in the environment already.
if [ -n "${SETTINGS:-}" ]; then
    while IFS= read -r line; do
        case $line in
        '' | '#'*) ;;
        *=*) export "${line?}" ;;
        esac
    done <"$SETTINGS"
fi
# A disk that outlives the card: environment, models, caches and logs are kept there.
FOLDER=${FOLDER:-/workspace/pagemill}
MAX_HOURS=${MAX_HOURS:-8}
# How long before MAX_HOURS the run is to be done.
SPARE_MINUTES=${SPARE_MINUTES:-30}
# What ends the costs: `poweroff` on a virtual machine, the provider's own command in a pod.
STOP_COMMAND=${STOP_COMMAND:-poweroff}
# A folder or bucket for the logs of the nights; empty: they stay in FOLDER.
LOG_TO=${LOG_TO:-}
# The program, where it is installed already.
PAGEMILL=${PAGEMILL:-}

began=$(date +%s)
limit_s=$(awk "BEGIN { print int($MAX_HOURS * 3600) }")
done_s=$(awk "BEGIN { print int($MAX_HOURS * 3600 - $SPARE_MINUTES * 60) }")
log=$FOLDER/logs/$(date -u +%Y-%m-%dT%H%M%S).log
running=

# Until it works: a card that nobody stops costs for days.
# shellcheck disable=SC2016  # the inner shell is to see the variable
stop_until_stopped='until sh -c "$STOP_COMMAND"; do sleep 60; done'
export STOP_COMMAND

# shellcheck disable=SC2329  # called by the trap
end() {
    if [ -n "$running" ]; then
        kill -TERM "$running" 2>/dev/null && wait "$running"
    fi
    keep_log
    sh -c "$stop_until_stopped"
}

# shellcheck disable=SC2329  # called by the trap
keep_log() {
    [ -n "$LOG_TO" ] && [ -n "$PAGEMILL" ] || return 0
    "$(dirname "$PAGEMILL")/python" - "$LOG_TO" "$log" <<'PYTHON'
import sys
from pathlib import Path

from pipeline.storage import open_storage

place, log = sys.argv[1], Path(sys.argv[2])
open_storage(place).put(log.name, log)
PYTHON
}

install() {
    here=$(cd "$(dirname "$0")/../.." && pwd)
    if ! cmp -s "$here/requirements/gpu.lock" "$FOLDER/venv/installed"; then
        rm -rf "$FOLDER/venv"
        "$here/docker/install.sh" gpu "$FOLDER/venv" && cp "$here/requirements/gpu.lock" "$FOLDER/venv/installed" || return 1
    fi
    PAGEMILL=$FOLDER/venv/bin/pagemill
}

read_documents() {
    export HF_HOME="${HF_HOME:-$FOLDER/models}" XDG_CACHE_HOME="$FOLDER/cache" TMPDIR="$FOLDER/scratch"
    export VLLM_CACHE_ROOT="$FOLDER/cache/vllm" TORCHINDUCTOR_CACHE_DIR="$FOLDER/cache/inductor"
    export TRITON_CACHE_DIR="$FOLDER/cache/triton" CUDA_CACHE_PATH="$FOLDER/cache/cuda" VLLM_NO_USAGE_STATS=1
    mkdir -p "$TMPDIR"
    left_s=$((done_s - ($(date +%s) - began)))
    # The deadline ends it in good order; SIGTERM and SIGKILL are for a run that does not keep it.
    timeout --signal=TERM --kill-after=120 "$((left_s + 300))" "$PAGEMILL" run --deadline "$((left_s / 60))m" "$@" &
    running=$!
    wait "$running"
    code=$?
    running=
    return "$code"
}

# The upper bound, in a session of its own: it outlives this script, its terminal and its disk.
setsid sh -c "sleep $limit_s; $stop_until_stopped" </dev/null >/dev/null 2>&1 &

trap end EXIT
trap 'exit 143' TERM INT HUP
mkdir -p "$FOLDER/logs" "$FOLDER/cache" || log=/tmp/pagemill-night.log
exec >"$log" 2>&1

echo "Pagemill's night began at $(date -u +%FT%TZ), and ends after $MAX_HOURS h at the latest."
if [ -z "$PAGEMILL" ] && ! install; then
    echo "Pagemill could not be installed; above it says why."
    exit 127
fi
read_documents "$@"
code=$?
echo "The run ended at $(date -u +%FT%TZ) with exit code $code."
exit "$code"
