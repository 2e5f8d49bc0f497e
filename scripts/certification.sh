#!/usr/bin/env bash
# What Red Hat's partner-certification-checker asks of a collection for Automation Hub, by the versions that it pins
# (certification/*.txt): the importer, and ansible-lint's profile production. Its sanity tests, of ansible-core 2.16,
# 2.18 and 2.20, are those of `make matrix`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

PYTHON=${WSSGATE_CERTIFICATION_PYTHON:-${PYTHON:-python3}}
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null ||
    die "The checker's ansible-core 2.16 runs on Python 3.10 to 3.12: set WSSGATE_CERTIFICATION_PYTHON=python3.12"
export PYTHON

for part in import lint; do
    "$ROOT/scripts/venv.sh" "$CACHE/venv-certification-$part" "$ROOT/scripts/certification/$part.txt"
done

# Where a collection belongs, as ansible-lint asks Ansible for this one's own plugins.
source=$CACHE/certification/ansible_collections/wssgate/nginx
"$ROOT/scripts/copy.sh" --known "$source"

say "Importing it as Automation Hub does"
result=$CACHE/certification/result
rm -rf "$result"
mkdir -p "$result" "$LOGS"
cd "$result"
GALAXY_IMPORTER_RUN_ANSIBLE_LINT=False import_collection "$CACHE/venv-certification-import" \
    "$LOGS/certification-import.log" --git-clone-path "$source" --output-path "$result"

say "ansible-lint, profile production, as the checker runs it"
venv=$CACHE/venv-certification-lint
# The checker installs requirements.yml from Galaxy; these come with the tests' own environment.
packages=$(echo "$VENV"/lib/python3.*/site-packages)
cd "$source"
ANSIBLE_COLLECTIONS_PATH=$CACHE/certification:$packages PATH=$venv/bin:$PATH \
    "$venv/bin/ansible-lint" --offline --profile=production
