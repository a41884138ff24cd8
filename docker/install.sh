#!/bin/sh
# Make a virtual environment in FOLDER with all that a worker needs: Pagemill, Prefect and, with gpu, vLLM.
# Both images are made by it, and machines without Docker run it by hand.
# usage: docker/install.sh cpu|gpu FOLDER        PYTHON=/path/to/python chooses one
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
cpu) lock=flows ;;
gpu) lock=gpu ;;
*) lock= ;;
esac
if [ -z "$lock" ] || [ $# -ne 2 ]; then
    echo "usage: docker/install.sh cpu|gpu FOLDER" >&2
    exit 2
fi
requirements/make-venv.sh "$2"
"$2/bin/python" requirements/install.py "$lock"
