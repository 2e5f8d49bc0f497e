#!/usr/bin/env bash
# Runs a command in the project's environment: with.sh COMMAND…
# The virtual environment must be there (`make venv`).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ -x "$VENV/bin/python" ] ||
    die "There is no environment in $VENV yet: make venv, or for the newest ansible-core scripts/newest.sh make venv"
collection=$CACHE/collections/ansible_collections/wssgate/nginx
mkdir -p "${collection%/*}"
[ "$(readlink "$collection" || true)" = "$ROOT" ] || ln -sfn "$ROOT" "$collection"

export PATH=$VENV/bin:$PATH VIRTUAL_ENV=$VENV
export ANSIBLE_COLLECTIONS_PATH=$CACHE/collections
export ANSIBLE_CONFIG=$ROOT/ansible.cfg
export PYTHONUNBUFFERED=1
# The checkout may belong to another user than the one who tests it (a container, CI).
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$ROOT

cd "$ROOT"
exec "$@"
