#!/usr/bin/env bash
# The collection on every ansible-core, Python and Debian that it is for: matrix.sh [ARGUMENTS…], see matrix/main.py
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/engine.sh"
need_command ssh openssh-client
# Not the environment of the tests' own: each controller has its collections by itself.
PYTHONPATH=$ROOT/tests exec "$VENV/bin/python" "$ROOT/scripts/matrix/main.py" "$@"
