#!/bin/sh
# Make .env, pagemill.env and config/pagemill.toml beside compose.yaml, with passwords nobody else has.
# What is there already is left as it is.
# usage: docker/make-env.sh
set -eu
cd "$(dirname "$0")"
umask 077

secret() { # 160 bits, letters and digits
    od -An -N20 -tx1 /dev/urandom | tr -d ' \n'
}

mkdir -p data config
chmod 755 config  # user 10001 of the containers reads it,
chmod 1777 data   # and writes here
[ -e config/pagemill.toml ] || install -m 644 pagemill.example.toml config/pagemill.toml

if [ -e .env ]; then
    echo "docker/.env is there already, and stays as it is."
else
    sed -e "s/^POSTGRES_PASSWORD=\$/&$(secret)/" -e "s/^PREFECT_PASSWORD=\$/&$(secret)/" \
        -e "s/^MINIO_ROOT_PASSWORD=\$/&$(secret)/" -e "s/^GRAFANA_PASSWORD=\$/&$(secret)/" \
        -e "s/^NOTIFY_TOKEN=\$/&$(secret)/" .env.example >.env.new
    if ! nvidia-smi >/dev/null 2>&1; then
        sed -i -e 's/^COMPOSE_FILE=.*/COMPOSE_FILE=compose.yaml:compose.cpu.yaml/' -e 's/^IMAGE_TAG=.*/IMAGE_TAG=cpu/' .env.new
        echo "nvidia-smi shows no GPU here: COMPOSE_FILE and IMAGE_TAG are those for CPU."
    fi
    mv .env.new .env
    echo "docker/.env made: passwords, and which compose files are used."
fi

if [ -e pagemill.env ]; then
    echo "docker/pagemill.env is there already, and stays as it is."
else
    password=$(sed -n 's/^MINIO_ROOT_PASSWORD=//p' .env)
    sed -e "s/^AWS_SECRET_ACCESS_KEY=\$/&$password/" pagemill.env.example >pagemill.env
    echo "docker/pagemill.env made: look at it, it says what is read, and where to."
fi
