#!/usr/bin/env bash
# Builds the documentation as a site, in .cache/docs-site: guides, roles' READMEs, pages of plugins and roles, search.
# It needs nothing of another site when it is read. A warning is an error.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# The program that draws pictures, from npm; what `npm pack` brings has to be this.
MERMAID=12.3.0
MERMAID_INTEGRITY=sha512-4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmi
MERMAID_INTEGRITY+=NAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw==

fetch_mermaid() {
    local folder=$CACHE/mermaid file=mermaid-$MERMAID.tgz
    mermaid=$folder/mermaid-$MERMAID.min.js
    [ -e "$mermaid" ] && return
    need_command npm npm
    mkdir -p "$folder"
    say "Fetching mermaid $MERMAID (npm)"
    npm pack --silent --pack-destination "$folder" "mermaid@$MERMAID" >/dev/null
    [ "sha512-$(openssl dgst -sha512 -binary "$folder/$file" | base64 --wrap 0)" = "$MERMAID_INTEGRITY" ] ||
        die "$folder/$file is not what it was when its version was chosen"
    tar --extract --gzip --to-stdout --file "$folder/$file" package/dist/mermaid.min.js >"$mermaid.part"
    mv "$mermaid.part" "$mermaid"
    rm "$folder/$file"
}

environment=$CACHE/venv-docs
"$ROOT/scripts/venv.sh" "$environment" "$ROOT/requirements.txt" "$ROOT/requirements-docs.txt"
fetch_mermaid

source=$CACHE/docs-site/source
site=$ROOT/.cache/docs-site
rm -rf "$CACHE/docs-site" "$site"
mkdir -p "$source/collections" "$source/_static"
chmod og-w "$source/collections"
cd "$ROOT"
cp README.md CONTRIBUTING.md SECURITY.md CODE_OF_CONDUCT.md "$source"
cp scripts/site/conf.py scripts/site/index.md "$source"
cp -R docs "$source"
for readme in roles/*/README.md; do install -D -m 0644 "$readme" "$source/$readme"; done
cp scripts/site/static/* "$source/_static"
cp "$mermaid" "$source/_static/mermaid.min.js"

run() { WSSGATE_VENV=$environment "$ROOT/scripts/with.sh" "$@"; }
say "Writing the pages of plugins and roles"
run antsibull-docs --config-file "$ROOT/scripts/site/antsibull-docs.cfg" collection --use-current --squash-hierarchy \
    --fail-on-error --dest-dir "$source/collections" wssgate.nginx >"$LOGS/docs-site.log" 2>&1 || {
    tail -n 30 "$LOGS/docs-site.log"
    die "antsibull-docs failed"
}
say "Building the site"
WSSGATE_CHECKOUT=$ROOT WSSGATE_VERSION=$(sed -n 's/^version: //p' galaxy.yml) \
    run sphinx-build --quiet --fail-on-warning --keep-going --jobs auto -b html \
    -d "$CACHE/docs-site/doctrees" "$source" "$site"
say "It is there: $site/index.html"
