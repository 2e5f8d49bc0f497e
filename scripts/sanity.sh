#!/usr/bin/env bash
# ansible-test on a copy of the checkout: sanity.sh sanity|units [ARGUMENTS…]
# It accepts a collection only below a real …/ansible_collections/wssgate/nginx.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

command=$1
shift
copy=$CACHE/ansible-test-$command/ansible_collections/wssgate/nginx
"$ROOT/scripts/copy.sh" "$copy"
# Not shipped, and no plugin's unit test: `make lint` reads these.
rm -rf "$copy"/{molecule,scripts} "$copy"/tests/{bench,functional,mutation}
if [ "$command" = units ]; then
    # About more than plugins, and partly about what the copy lacks: `make roles` runs these.
    rm -f "$copy"/tests/unit/test_*.py
else
    rm -rf "$copy"/tests/lib "$copy"/tests/*.py
fi

# A home of its own: ansible-test keeps virtual environments there, a dozen, and fetches get-pip from outside for each
# unless it finds one. The pip that comes with Python does as well, only unpacked: ensurepip would take seconds.
home=$CACHE/ansible-test-home
mkdir -p "$home/.ansible/test/cache"
for shared in .config .cache .pip .netrc; do
    if [ -e "$HOME/$shared" ]; then ln -sfn "$HOME/$shared" "$home/$shared"; fi
done
ansible_test=$("$VENV/bin/python" -c 'import ansible_test, os; print(os.path.dirname(ansible_test.__file__))')
requirements=$ansible_test/_internal/python_requirements.py
version=$(sed -n "s/^ *pip='\([0-9.]*\)',$/\1/p" "$requirements")
[ -n "$version" ] || die "No pip version in $requirements"
cat >"$home/.ansible/test/cache/get_pip_${version//./_}.py" <<'PYTHON'
import ensurepip
import pathlib
import sysconfig
import zipfile

wheels = [*pathlib.Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")]
if wheels:
    zipfile.ZipFile(wheels[0]).extractall(sysconfig.get_path("purelib"))
else:
    ensurepip.bootstrap()
PYTHON

# ansible-test tries every pythonX.Y that it finds. pyenv's shims answer to names that they cannot run: its real
# interpreters instead, where there are any, and unless WSSGATE_OWN_PYTHON_ONLY is set. Of these it gets the oldest and
# the newest that it knows: syntax and modules only come and go with Python's versions, so what those two compile and
# import, those between them do, too, and each more costs the imports of all files once more. WSSGATE_EVERY_PYTHON=1, as
# `make matrix` sets it for one ansible-core, has it try all.
path=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/\.pyenv/' | paste -sd :)
one_cpu=()
# Unit tests need pytest, which only the virtual environment has.
if [ "$command" = units ] && [[ " $* " != *" --python "* ]]; then
    set -- --python "$("$VENV/bin/python" -c 'import sys; print(*sys.version_info[:2], sep=".")')" "$@"
elif [ "$command" = sanity ]; then
    # pylint starts a process for each CPU that it sees, and each works out anew what another has.
    cpu=${WSSGATE_CPU:-$(taskset --cpu-list --pid $$ | sed 's/.*[ ,-]//')}
    one_cpu=(taskset --cpu-list "$cpu")
    if [ -z "${WSSGATE_OWN_PYTHON_ONLY:-}" ]; then
        known=$("$VENV/bin/python" -c 'from ansible_test._util.target.common import constants
print(*constants.REMOTE_ONLY_PYTHON_VERSIONS, *constants.CONTROLLER_PYTHON_VERSIONS)')
        found=()
        for version in $known; do
            # Older ones are none of this collection's: tests/config.yml.
            case $version in 2.* | 3.[5-7]) continue ;; esac
            for directory in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin; do
                # One that was built for another system lacks libraries.
                if "$directory/python" -c 'import ensurepip, ssl' 2>/dev/null; then found+=("$directory"); fi
            done
        done
        if [ -z "${WSSGATE_EVERY_PYTHON:-}" ] && [ ${#found[@]} -gt 2 ]; then found=("${found[0]}" "${found[-1]}"); fi
        for directory in "${found[@]}"; do path=$path:$directory; done
    fi
fi

cd "$copy"
export PATH=$path
HOME=$home exec "${one_cpu[@]}" "$VENV/bin/ansible-test" "$command" --local --color no "$@"
