#!/bin/sh
# Make a virtual environment in FOLDER with the first Python that will do; say what is missing if there is none.
# usage: requirements/make-venv.sh FOLDER | --check        PYTHON=/path/to/python chooses one
set -eu

# 3.11 first: it is what most tests ran on. A name on PATH may be a shim that does not start, so each is tried.
for python in ${PYTHON:-python3.11 python3.12 python3 python}; do
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || continue
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$("$python" --version) lacks its venv module. Debian, Ubuntu: sudo apt-get install python3-venv" >&2
        exit 1
    fi
    [ "$1" = --check ] || "$python" -m venv "$1"
    exit
done
echo "Pagemill needs Python 3.11 or 3.12, and found neither (tried: ${PYTHON:-python3.11 python3.12 python3 python})." >&2
echo "Debian 12, Ubuntu 24.04: sudo apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python3.12 ..." >&2
exit 1
