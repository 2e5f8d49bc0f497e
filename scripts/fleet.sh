#!/usr/bin/env bash
# Runs a playbook on the fleet of `make fleet`: fleet.sh wssgate.nginx.check
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ -e "$ROOT/.cache/fleet/containers.yml" ] || die "There is no fleet; \`make fleet\` starts one"
exec "$ROOT/scripts/with.sh" ansible-playbook \
    -i "$ROOT/examples/fleet/inventory.yml" -i "$ROOT/.cache/fleet/containers.yml" "$@"
