#!/usr/bin/env bash
# Prints a folder with Debian's prometheus, promtool, prometheus-alertmanager, amtool and prometheus-redis-exporter:
# prometheus.sh
# This machine's own where it has them, else the packages, unpacked below the cache and not installed, so that no
# service starts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

missing=""
programs="prometheus promtool prometheus-alertmanager amtool prometheus-redis-exporter"
for program in $programs; do
    [ -x "/usr/bin/$program" ] || missing=1
done
if [ -z "$missing" ]; then
    echo /usr/bin
    exit
fi

# promtool is a package of its own from Debian 13 on.
packages() {
    echo prometheus prometheus-alertmanager prometheus-redis-exporter
    if apt-cache show promtool >/dev/null 2>&1; then echo promtool; fi
}

folder=$CACHE/prometheus
if [ "$(cat "$folder/complete" 2>/dev/null)" != "$programs" ] || [ ! -x "$folder/root/usr/bin/promtool" ]; then
    command -v apt-get >/dev/null 2>&1 || die "install Prometheus and Alertmanager for the functional tests of alerts"
    say "Fetching prometheus, prometheus-alertmanager and prometheus-redis-exporter (apt-get download)" >&2
    # They are linked with the C library alone.
    unpack_packages "$folder" packages
    echo "$programs" >"$folder/complete"
fi
echo "$folder/root/usr/bin"
