#!/usr/bin/env bash
# Makes sure that a Docker Engine answers. One that runs is used as it is; where none
# does, Debian's is installed and started. `engine.sh stop` stops only what this started.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

PID_FILE=$CACHE/dockerd.pid
LOG=$CACHE/dockerd.log

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

wait_for_answer() {
    local _try
    for _try in $(seq 60); do
        answers && return
        sleep 0.5
    done
    return 1
}

# Is the process in our pid file still the dockerd that this script started?
is_ours() { [ -s "$PID_FILE" ] && [ "$(cat "/proc/$(cat "$PID_FILE")/comm" 2>/dev/null)" = dockerd ]; }

if [ "${1:-}" = stop ]; then
    if is_ours; then
        say "Stopping the Docker Engine that was started for the tests"
        kill "$(cat "$PID_FILE")"
        # Until it is gone no other one starts.
        for _try in $(seq 60); do
            is_ours || break
            sleep 0.5
        done
    fi
    rm -f "$PID_FILE"
    exit 0
fi

answers && exit 0
[ -z "${DOCKER_HOST:-}" ] || die "No Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"

mkdir -p "$CACHE"
exec 9<"$(lock_file engine)"
flock 9
answers && exit 0 # another checkout was quicker

# A client alone may be there; since Debian 13 it is a package of its own.
need_command dockerd docker.io iptables
need_command docker docker-cli
answers && exit 0 # started by its installation
[ "$(id -u)" = 0 ] || die "No Docker Engine answers; start it, or run this as root"

if [ -d /run/systemd/system ]; then
    say "Starting the Docker Engine (systemd)"
    systemctl start docker
else
    say "Starting the Docker Engine by hand; log: $LOG, \`make clean\` stops it"
    if ! mountpoint -q /sys/fs/cgroup; then
        need_command cgroupfs-mount cgroupfs-mount
        cgroupfs-mount
    fi
    # A session of its own, without our lock and pipes: it outlives this script.
    setsid dockerd >"$LOG" 2>&1 </dev/null 9>&- &
    echo $! >"$PID_FILE"
fi
wait_for_answer || {
    tail -n 20 "$LOG" 2>/dev/null || true # systemd keeps its own log
    die "The Docker Engine does not answer"
}
