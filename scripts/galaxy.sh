#!/usr/bin/env bash
# Builds the artifact, looks for all documentation in it, and runs Ansible Galaxy's own checks on it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

importer=$CACHE/venv-galaxy-importer
"$ROOT/scripts/venv.sh" "$importer" "$ROOT/requirements-galaxy-importer.txt"

source=$CACHE/galaxy/source
artifacts=$ROOT/.cache/artifacts
"$ROOT/scripts/copy.sh" --known "$source"
rm -f "$artifacts"/wssgate-nginx-*.tar.gz
mkdir -p "$artifacts"
say "Building the artifact"
"$VENV/bin/ansible-galaxy" collection build --output-path "$artifacts" "$source"

say "Asking ansible-doc for all that is in it"
installed=$CACHE/galaxy/collections
rm -rf "$installed"
# Where the checkout counts as installed, nothing would be done.
ANSIBLE_COLLECTIONS_PATH=$installed "$VENV/bin/ansible-galaxy" collection install --offline --no-deps \
    "$artifacts"/wssgate-nginx-*.tar.gz >/dev/null
# Each file by the sums in its manifest.
ANSIBLE_COLLECTIONS_PATH=$installed "$VENV/bin/ansible-galaxy" collection verify --offline wssgate.nginx
"$VENV/bin/python" "$ROOT/scripts/artifact_docs.py" "$installed"

say "Importing it as Galaxy does"
cd "$CACHE/galaxy"
import_collection "$importer" "$LOGS/galaxy-importer.log" "$artifacts"/wssgate-nginx-*.tar.gz
