#!/bin/sh
# make_venv.sh FOLDER [PYTHON]: a virtual environment, or one sentence that says what is missing.
set -eu
folder=$1
shift
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

python=
for candidate in "${@:-python3}" python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$new_enough" 2>/dev/null; then
        python=$candidate
        break
    fi
    if [ $# -gt 0 ]; then break; fi
done
if [ -z "$python" ]; then
    echo "Handrail needs Python 3.11 or newer; ${1:-python3} here is $("${1:-python3}" --version 2>&1 || true)." \
        "Install a newer one and say 'make PYTHON=/path/to/python3.11 ...'." >&2
    exit 1
fi
# Debian and Ubuntu ship Python without the part that puts pip into an environment.
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    echo "$python cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv" \
        "(or $version-venv), then the same command again." >&2
    exit 1
fi
if ! "$python" -m venv "$folder"; then
    rm -rf "$folder"
    echo "$python -m venv $folder failed; its own words are above." >&2
    exit 1
fi
