#!/usr/bin/env bash
# Style and documentation, without a host: lint.sh [code|docs]
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

FAILED=()
check() {
    say "$*"
    "$@" || FAILED+=("$1")
}

code() {
    need_command shellcheck shellcheck
    check shellcheck --external-sources scripts/*.sh .ci/run molecule/resources/images/boot
    check ruff check --quiet .
    check yamllint --strict .
    check ansible-lint --offline
}

docs() {
    check antsibull-changelog lint
    check antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
}

cd "$ROOT"
case "${1:-all}" in
    code) code ;;
    docs) docs ;;
    *) code && docs ;;
esac
[ ${#FAILED[@]} = 0 ] || die "Failed: ${FAILED[*]}"
