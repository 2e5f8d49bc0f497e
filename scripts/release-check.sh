#!/usr/bin/env bash
# Whether a tag can be released: release-check.sh TAG. It is the version of galaxy.yml, the changelog has it, and no
# fragment is left over.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

tag=$1
cd "$ROOT"
version=$(sed -n 's/^version: //p' galaxy.yml)
[ "$tag" = "$version" ] || die "The tag is $tag, and galaxy.yml has version $version: tag the commit that has it"
grep -q "^## v${version//./\\\\\\.}\$" CHANGELOG.md || die "CHANGELOG.md has no part for $version: make changelog"
fragments=$(find changelogs/fragments -name '*.yml' -o -name '*.yaml' | sort)
[ -z "$fragments" ] || die "Fragments that no release has: $fragments; make changelog"
say "$version can be released"
