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

wanted=$("$PYTHON" -VV && cat "$@")
stamp=$directory/.requirements
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

say "Installing $(basename -a "$@" | tr '\n' ' ')into ${directory#"$ROOT"/} (about a minute)"
# That of another Python is made anew.
[ "$("$directory/bin/python" -VV 2>/dev/null)" = "$("$PYTHON" -VV)" ] || "$PYTHON" -m venv --clear "$directory"
rm -f "$stamp"
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
