#!/usr/bin/env bash
# Prints the path of an mtail for tests: mtail.sh
# This machine's own, else Debian's package, unpacked below the cache and not installed: no service starts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

if command -v mtail; then exit; fi

folder=$CACHE/mtail
if [ ! -x "$folder/root/usr/bin/mtail" ]; then
    command -v apt-get >/dev/null 2>&1 || die "install mtail for the tests of role monitoring"
    say "Fetching mtail (apt-get download)" >&2
    unpack_packages "$folder" echo mtail
fi
echo "$folder/root/usr/bin/mtail"
