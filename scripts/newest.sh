#!/usr/bin/env bash
# Runs a command where the newest ansible-core runs: newest.sh COMMAND…, for example newest.sh make roles
# That is this machine where its Python is new enough, else a container of Debian 13: see newest/Dockerfile. There are
# this checkout, this machine's network, processes and Docker Engine; all paths are the same.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || die "Say which command, for example: newest.sh make roles"
# What it keeps, apart from what this machine's own python3 has.
KEPT=$CACHE/newest

PYTHON=${PYTHON:-python3}
if found=$(command -v "$PYTHON" 2>/dev/null); then
    # Where the command runs is another folder.
    [ "$PYTHON" = python3 ] || PYTHON=$(realpath --no-symlinks "$found")
elif [ "$PYTHON" != python3 ]; then
    die "PYTHON is $PYTHON, and there is no such program"
fi

# What ansible-core 2.21 runs on. The machine's own may lack a package that venv.sh installs.
suits() {
    "$PYTHON" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' >/dev/null 2>&1
}

if [ -z "${WSSGATE_CONTAINER:-}" ] && suits; then
    export PYTHON
    cd "$ROOT"
    exec "$@"
fi

case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) socket=${DOCKER_HOST:-unix:///var/run/docker.sock} && socket=${socket#unix://} ;;
    *) die "The tests' Docker Engine has to run on this machine; DOCKER_HOST is $DOCKER_HOST" ;;
esac

BASE=wssgate-test:debian13
IMAGE=wssgate-test:controller
NAME=wssgate-controller-$(printf '%s' "$ROOT" | sha256sum | cut -c1-12)-$$

build_image() {
    local log=$LOGS/image-controller.log
    say "Building $IMAGE from $BASE, as far as it changed"
    mkdir -p "$LOGS"
    docker build ${FORCE:+--no-cache} --build-arg "BASE=$BASE" --tag "$IMAGE" "$ROOT/scripts/newest" >"$log" 2>&1 || {
        tail -n 30 "$log"
        die "The controller's image could not be built; whole log: $log"
    }
}

# Settings of this machine that fetching goes by, as far as they are there: lines of arguments for docker.
settings() {
    local name path
    for name in $(compgen -e); do
        case $name in
            WSSGATE_CACHE | WSSGATE_VENV | WSSGATE_CONTAINER) ;;
            WSSGATE_* | PIP_* | npm_config_* | *_proxy | *_PROXY | PYTEST_ADDOPTS) echo "--env=$name" ;;
            NODE_EXTRA_CA_CERTS | REQUESTS_CA_BUNDLE | SSL_CERT_FILE) echo "--env=$name" ;;
        esac
    done
    for path in .config/pip .pip .netrc .npmrc; do
        if [ -e "$HOME/$path" ]; then echo "--volume=$HOME/$path:$KEPT/home/$path:ro"; fi
    done
    # More interpreters for scripts/sanity.sh
    path=${PYENV_ROOT:-$HOME/.pyenv}
    if [ -d "$path/versions" ]; then printf '%s\n' "--volume=$path:$path:ro" "--env=PYENV_ROOT=$path"; fi
    for path in /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$path" ]; then echo "--volume=$path:$path:ro"; fi
    done
}

# A work tree's history lies in its main checkout.
main_checkout() {
    local folder
    folder=$(git -c safe.directory="$ROOT" -C "$ROOT" rev-parse --path-format=absolute --git-common-dir 2>/dev/null) ||
        return 0
    case $folder in
        "$ROOT"/*) ;;
        *) echo "--volume=$folder:$folder" ;;
    esac
}

# What it has written belongs to who started it.
hand_over() {
    [ "$(id -u)" != 0 ] || return 0
    docker run --rm --network none --volume "$ROOT:$ROOT" --volume "$CACHE:$CACHE" --entrypoint find "$IMAGE" \
        "$ROOT" "$CACHE" -user 0 -exec chown -h "$(id -u):$(id -g)" '{}' +
}

"$ROOT/scripts/engine.sh"
# 14 for what its hosts need of this machine.
"$ROOT/scripts/images.sh" 13 14
build_image
mkdir -p "$KEPT/home"
mapfile -t arguments < <(settings && main_checkout)
# Tests make networks and mounts of their own, trace programs and protect files. `privileged` would be more, and fails
# on a machine that lacks a capability. They measure containers by this machine's process ids. The cgroups are for
# molecule's hosts, see WSSGATE_CGROUP2.
arguments+=(
    --rm --interactive --init --network=host --pid=host --shm-size=1g "--name=$NAME"
    "--label=wssgate.nginx.controller=$ROOT"
    --cap-add={SYS_ADMIN,NET_ADMIN,NET_RAW,SYS_PTRACE,SYS_NICE,LINUX_IMMUTABLE}
    --security-opt={seccomp,apparmor,systempaths}"=unconfined"
    "--volume=$socket:/var/run/docker.sock" --volume=/sys/fs/cgroup:/sys/fs/cgroup
    "--volume=$ROOT:$ROOT" "--volume=$CACHE:$CACHE" "--workdir=$ROOT"
    "--env=HOME=$KEPT/home" "--env=WSSGATE_CACHE=$KEPT" "--env=WSSGATE_VENV=$KEPT/venv"
)
# Once more: images.sh may have brought it.
path=$(cgroup2)
case $path in
    "" | /sys/fs/cgroup*) ;;
    *) arguments+=("--volume=$path:$path") ;;
esac
# For the locks in it, which keep two checkouts apart. In a folder for all, root cannot take those of another user.
temporary=${TMPDIR:-/tmp}
[ "$(id -u)" != 0 ] || arguments+=("--volume=$temporary:$temporary" "--env=TMPDIR=$temporary")

why="as ansible-core 2.21 does not run on this machine's $PYTHON"
if [ -n "${WSSGATE_CONTAINER:-}" ]; then why="as WSSGATE_CONTAINER asks for"; fi
say "In a container of Debian 13, $why: $*"
# The container's command ends when we close this pipe, or are no more: newest/run-and-end. In a session of its own, as
# Ctrl-C must not take docker's output away.
exec 3> >(exec setsid docker run "${arguments[@]}" "$IMAGE" "$@")
container=$!
trap 'exec 3>&-' INT TERM HUP
code=0
# A signal ends `wait`, and not the container.
while true; do
    wait "$container" && code=0 || code=$?
    kill -0 "$container" 2>/dev/null || break
done
hand_over
exit "$code"
