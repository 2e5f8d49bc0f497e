#!/usr/bin/env bash
# Creates a virtual environment and fills it: venv.sh DIRECTORY REQUIREMENTS…
# Does nothing when it holds just that already.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

directory=$1
shift

# The oldest that requirements.txt has an ansible-core for.
usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

PYTHON=${PYTHON:-python3}
command -v "$PYTHON" >/dev/null 2>&1 || apt_install python3 python3-venv
usable "$PYTHON" || die "$PYTHON is older than 3.11; say PYTHON=… for another one"
can_venv "$PYTHON" || apt_install python3-venv

mkdir -p "$(dirname "$directory")" "$LOGS" "$CACHE"
exec 9>"$CACHE/$(basename "$directory").lock"
flock 9

version=$("$PYTHON" -VV)
wanted=$(printf '%s\n' "$version" && cat "$@")
stamp=$directory/.requirements
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

say "Installing $(basename -a "$@" | tr '\n' ' ')into ${directory#"$ROOT"/} (about a minute)"
rm -f "$stamp"
# That of another Python is made anew, and one that was interrupted: it may have a python and no pip, or the pip of the
# Python that it was made by.
whole=$directory/.made
if [ ! -x "$directory/bin/python" ] || [ "$(cat "$whole" 2>/dev/null)" != "$version" ]; then
    rm -rf "$directory"
    "$PYTHON" -m venv "$directory"
    printf '%s\n' "$version" >"$whole"
fi
arguments=()
for file in "$@"; do arguments+=(--requirement "$file"); done
log=$LOGS/$(basename "$directory").log
# Compiled when first used: most of `ansible` never is, and compiling takes as long as installing.
"$directory/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --no-input \
    "${arguments[@]}" >"$log" 2>&1 || {
    tail -n 30 "$log"
    die "pip failed; whole log: $log"
}
printf '%s\n' "$wanted" >"$stamp"
