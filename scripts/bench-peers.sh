#!/usr/bin/env bash
# What `make bench` measures with and against: bench-peers.sh. Prints the folder.
# Debian's packages are unpacked below it, not installed: no service starts, nothing on this machine changes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/venv.sh" "$CACHE/venv-bench" "$ROOT/requirements-bench.txt"

need_command strace strace

peers=$CACHE/bench-peers
wanted=(nginx libnginx-mod-http-js haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libjemalloc2)
programs=(usr/sbin/nginx usr/lib/nginx/modules/ngx_http_js_module.so usr/sbin/haproxy)
if ! command -v valgrind >/dev/null 2>&1; then
    wanted+=(valgrind)
    programs+=(usr/bin/valgrind)
fi
missing=
for program in "${programs[@]}"; do [ -e "$peers/$program" ] || missing=1; done
if [ "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || die "the peers come from Debian's packages: nginx, haproxy"
    say "Fetching ${wanted[*]} (apt-get download)"
    rm -rf "$peers"
    mkdir -p "$peers/packages"
    cd "$peers/packages"
    if ! apt-get -qq download "${wanted[@]}" 2>/dev/null; then
        [ "$(id -u)" = 0 ] || die "apt-get download fails; apt-get update (as root) may help"
        apt-get -qq update
        apt-get -qq download "${wanted[@]}"
    fi
    for package in *.deb; do dpkg -x "$package" "$peers"; done
fi
