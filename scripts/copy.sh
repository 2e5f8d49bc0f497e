#!/usr/bin/env bash
# Copies what would be committed to a new directory: copy.sh [--known] DIRECTORY
# With --known only what git knows: an artifact is made of that, as what lies around may be a secret.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

kinds=(--cached --others --exclude-standard)
if [ "$1" = --known ]; then
    kinds=(--cached)
    shift
fi
target=$1
rm -rf "$target"
mkdir -p "$target"
cd "$ROOT"
{
    if [ -e .git ]; then
        git -c safe.directory="$ROOT" ls-files -z "${kinds[@]}"
    else
        find . \( -name .venv -o -name .cache -o -name .ansible -o -name __pycache__ \) -prune -o -type f -print0
    fi
} | while IFS= read -r -d '' file; do
    # Removed but not yet committed.
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
done | tar --create --null --files-from=- | tar --extract --directory "$target"
