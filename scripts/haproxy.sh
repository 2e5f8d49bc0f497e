#!/usr/bin/env bash
# Prints the path of a HAProxy for functional tests: haproxy.sh
# This machine's own, else Debian's package, unpacked below the cache and not installed: no service starts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

if command -v haproxy; then exit; fi

folder=$CACHE/haproxy
if [ ! -x "$folder/run" ]; then
    command -v apt-get >/dev/null 2>&1 || die "install HAProxy for the functional tests of balancers"
    say "Fetching haproxy (apt-get download)" >&2
    unpack_packages "$folder" with_libraries haproxy
    libraries=$(find "$folder/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd :)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$folder/root/usr/sbin/haproxy" >"$folder/run"
    chmod 0755 "$folder/run"
fi
echo "$folder/run"
