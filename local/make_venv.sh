#!/bin/sh
# Makes the virtual environment named by the first argument, with the newest Python from 3.11 to 3.13 on this machine
# (3.13 is what the deployed functions run on) and exactly the pinned requirements.
set -eu
venv=$1

usable() { # a Python that runs, is of the right version and can make virtual environments
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for version in 3.13 3.12 3.11; do
        # pyenv's commands exist on the PATH for versions that are installed but not chosen, and then refuse to run.
        for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if usable "$candidate"; then echo "$candidate"; return; fi
        done
    done
    if usable python3; then echo python3; return; fi
    echo "No Python 3.11, 3.12 or 3.13 with venv found (on Debian: apt-get install python3 python3-venv)." >&2
    return 1
}

python=${PYTHON:-$(find_python)}
echo "Setting up $venv with $("$python" --version) …"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
