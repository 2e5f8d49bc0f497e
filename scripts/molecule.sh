#!/usr/bin/env bash
# One molecule command in the project's environment: molecule.sh converge --scenario-name default
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

export MOLECULE_GLOB='molecule/*/molecule.yml' MOLECULE_COMMAND_BORDERS=false
exec "$ROOT/scripts/with.sh" molecule --base-config "$ROOT/.config/molecule/config.yml" "$@"
