#!/bin/sh
# setup.sh [FOLDER]: the environment for benchmarks/gym_hil, apart from our own: gym-hil wants an older MuJoCo.
set -eu
folder=${1:-.venv-gym-hil}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

[ -x "$folder/bin/python" ] || sh "$root/scripts/make_venv.sh" "$folder"
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
grep -v '^mujoco' "$root/constraints.txt" >"$pins"
install() {
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$pins" "$@"
}
install --editable "$root[actor,learner]" mujoco==3.8.1 pytest pytest-timeout hypothesis
# Without what it needs for gamepads and keyboards: of that, evdev has no wheel and asks for a compiler.
install --no-deps gym-hil==0.1.14
PYTHONPATH=$here "$folder/bin/python" -c 'import handrail_gym_hil'
echo "Ready: $folder/bin/handrail, with PYTHONPATH=$here"
