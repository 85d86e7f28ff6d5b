#!/bin/sh
# Makes .venv (or $VENV) from the locked development set. Runs again only when the lock changed.
# Usage: scripts/setup.sh [python]   (default: the newest usable Python, 3.11 or later)
set -eu
cd "$(dirname "$0")/.."
lock=requirements/dev.txt
venv=${VENV:-.venv}
stamp=$venv/.lock-installed
# Make puts .venv/bin first; the environment must not be rebuilt from itself.
PATH=$(printf %s "$PATH" | sed "s#$PWD/.venv/bin:##g")

# A pyenv shim answers --version with an error when its version is gone, so each candidate must run code.
usable() {
    "$1" -c 'import sys, venv; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

newest_python() {
    for minor in 14 13 12 11; do
        for candidate in "$(command -v "python3.$minor" || true)" \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3 \
            "/usr/local/bin/python3.$minor" "/usr/bin/python3.$minor"; do
            if [ -x "$candidate" ] && usable "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
    if usable python3; then command -v python3; return; fi
    echo "setup: no Python 3.11 to 3.14 was found; install one (Debian: apt-get install python3 python3-venv)" >&2
    return 1
}

find_uv() {
    if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then echo uv; return; fi
    if [ ! -x .cache/uv/bin/uv ]; then
        "$1" -m venv .cache/uv
        .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
    fi
    echo .cache/uv/bin/uv
}

python=${1:-$(newest_python)}
wanted="$(cksum <"$lock") $python"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then exit 0; fi

started=$(date +%s)
uv=$(find_uv "$python")
# Where a company's own authority signs the registry, the system knows it and uv's bundle does not.
UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
export UV_SYSTEM_CERTS
"$uv" venv --quiet --clear --python "$python" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"
echo "$wanted" >"$stamp"
echo "setup: $venv with $("$venv/bin/ansible" --version | head -n 1) on $("$venv/bin/python" --version), $(($(date +%s) - started)) s"
