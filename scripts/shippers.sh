#!/usr/bin/env bash
# Prints a folder with Debian's rsyslog and syslog-ng, unpacked below the cache and not installed, so that no service
# starts and neither takes the other's place: shippers.sh
# Tests lay it over /usr and /etc in a file system of their own.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

folder=$CACHE/shippers
if [ ! -e "$folder/complete" ]; then
    command -v apt-get >/dev/null 2>&1 || die "the functional tests of log shipping need apt-get"
    say "Fetching rsyslog and syslog-ng (apt-get download)" >&2
    unpack_packages "$folder" with_libraries rsyslog rsyslog-gnutls syslog-ng-core
    # /lib is a link to it, and some packages still name it.
    [ ! -d "$folder/root/lib" ] || cp -a "$folder/root/lib/." "$folder/root/usr/lib/"
    touch "$folder/complete"
fi
echo "$folder/root"
