#!/usr/bin/env bash
# Removes what the make targets created: environments, caches, logs. Images stay.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

for directory in "$CACHE" "$VENV" "$ROOT/.cache" "$ROOT/.ansible" "$ROOT/.hypothesis" "$ROOT/.pytest_cache" \
    "$ROOT/tests/.pytest_cache"; do
    if [ -e "$directory" ]; then
        say "Removing $directory"
        # Symlinks inside (the collection's own place) are removed, not followed.
        rm -rf "$directory"
    fi
done
