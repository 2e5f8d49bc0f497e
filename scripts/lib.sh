# shellcheck shell=bash
# Sourced by the scripts beside it: where things are, and how progress is told.

# What a container image or a bare root shell may leave empty.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
    export HOME
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Outside the checkout: an ansible_collections directory inside it would be found (and
# cleaned) by tools that take the checkout for an installed collection. Keyed by path, so
# that two checkouts do not meet.
CACHE=${WSSGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wssgate.nginx/$(printf '%s' "$ROOT" | sha256sum | cut -c1-12)}
VENV=${WSSGATE_VENV:-$ROOT/.venv}
LOGS=$ROOT/.cache/logs
export ROOT CACHE VENV LOGS
# systemd 258 and newer boot on cgroup v2 alone. A machine with v1 may have v2 beside it (images.sh sees to it): a
# scenario gives this folder to such a host.
cgroup2() { awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts; }
WSSGATE_CGROUP2=$(cgroup2)
export WSSGATE_CGROUP2=${WSSGATE_CGROUP2:-/sys/fs/cgroup}

# Ansible without byte code compiles itself anew in every process.
unset PYTHONDONTWRITEBYTECODE

say() { printf '== %s\n' "$*"; }

die() {
    printf '== %s\n' "$*" >&2
    exit 1
}

# make takes a blank for the end of a path, and docker a colon.
case $ROOT$CACHE$VENV in
    *[[:space:]:]*) die "A path with a blank or a colon does not work: $ROOT, $CACHE, $VENV" ;;
esac

# Installs Debian packages, only where a command is missing: `need_command COMMAND PACKAGE…`.
need_command() {
    local command=$1
    shift
    command -v "$command" >/dev/null 2>&1 || apt_install "$@"
}

# The same where it is no command: `need_file PATH PACKAGE…`.
need_file() {
    local path=$1
    shift
    [ -e "$path" ] || apt_install "$@"
}

apt_install() {
    [ "$(id -u)" = 0 ] || die "install these packages, or run this as root: $*"
    command -v apt-get >/dev/null 2>&1 || die "install these packages: $*"
    say "Installing $* (apt)"
    DEBIAN_FRONTEND=noninteractive apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# Unpacks Debian packages below a folder and installs none of them, so that no service starts: `unpack_packages FOLDER
# COMMAND…`. The command prints their names; it is asked again where the lists of packages had to be fetched first.
unpack_packages() {
    local folder=$1
    shift
    rm -rf "$folder"
    mkdir -p "$folder/packages"
    (
        cd "$folder/packages" || exit
        # shellcheck disable=SC2046
        if ! apt-get -qq download $("$@") 2>/dev/null; then
            [ "$(id -u)" = 0 ] || die "apt-get download fails; apt-get update (as root) may help"
            apt-get -qq update
            apt-get -qq download $("$@")
        fi
        for package in *.deb; do dpkg -x "$package" ../root; done
    )
    rm -rf "$folder/packages"
}

# Names of Debian packages, and of those of the libraries that they need and this machine lacks: for unpack_packages.
with_libraries() {
    apt-cache depends --recurse --no-pre-depends --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" |
        sed -n 's/^ *|\{0,1\}Depends: \([a-z0-9.+-]*\)$/\1/p' | grep '^lib' | sort -u | while read -r package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
    done
    printf '%s\n' "$@"
}

# Has the importer of Galaxy and Automation Hub look at a collection, in the current folder, where it leaves its result:
# `import_collection VENV LOG ARGUMENTS…`. A warning is a failure.
import_collection() {
    local venv=$1 log=$2
    shift 2
    GALAXY_IMPORTER_CHECK_REQUIRED_TAGS=true PATH=$venv/bin:$PATH \
        "$venv/bin/python" -m galaxy_importer.main "$@" 2>&1 | tee "$log"
    if grep -E '^(ERROR|WARNING)' "$log"; then die "The importer complains"; fi
}

# The path of a lock that all users of the machine have: it is opened for reading alone.
lock_file() {
    local path=${TMPDIR:-/tmp}/wssgate-$1.lock
    [ -e "$path" ] || (umask 022 && : >"$path") 2>/dev/null || [ -e "$path" ] || die "Cannot write $path"
    echo "$path"
}
