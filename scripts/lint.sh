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

# ansible-lint starts an Ansible for each playbook and role that it finds, a second each. With scripts/lint, one does.
ansible_lint() {
    local failed=0
    rm -rf "$CACHE/lint"
    mkdir -p "$CACHE/lint"
    PATH=$ROOT/scripts/lint:$PATH ansible-lint --offline || failed=1
    sort -u "$CACHE/lint/playbooks" | xargs -d '\n' ansible-playbook --syntax-check >/dev/null || failed=1
    return $failed
}

# As a collection: the plugins' imports are relative to ansible_collections.wssgate.nginx.
mypy_plugins() {
    (cd "$CACHE/collections" && mypy --config-file "$ROOT/mypy.ini" ansible_collections/wssgate/nginx/plugins)
}

# Names of the standard library that hosts' Python may not have: ruff knows syntax alone. Tests of it run there, too.
vermin_of_hosts() {
    vermin --quiet --no-tips --violations --target=3.8- tests/unit/conftest.py \
        {,tests/unit/}plugins/module{s,_utils}
}

# Where Debian has Node's modules, a Node from elsewhere does not look.
javascript() {
    NODE_PATH=/usr/share/nodejs eslint --format unix --max-warnings 0 roles/wss_proxy/files tests/lib
}

code() {
    need_command shellcheck shellcheck
    need_command eslint eslint
    check shellcheck --external-sources scripts/*.sh scripts/lint/* scripts/newest/run-and-end .ci/run \
        molecule/resources/images/boot
    check ruff check --quiet .
    check ruff format --quiet --check .
    check mypy_plugins
    check vermin_of_hosts
    check yamllint --strict .
    check ansible_lint
    check javascript
    github
}

# Workflows, forms and Dependabot's file by the schemas that the package has; nothing is fetched.
github() {
    check github_schema github-workflows .github/workflows/*.yml
    check github_schema github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
    check github_schema github-issue-config .github/ISSUE_TEMPLATE/config.yml
    check github_schema dependabot .github/dependabot.yml
}

github_schema() {
    local schema=$1
    shift
    check-jsonschema --quiet --builtin-schema "vendor.$schema" "$@"
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
