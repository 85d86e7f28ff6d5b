#!/bin/sh
# The oldest supported pair, ansible-core 2.19 on Python 3.11, from the same lock: unit tests, sanity, the demo, three scenarios.
set -eu
cd "$(dirname "$0")/.."
python=""
for candidate in "$(command -v python3.11 || true)" /usr/bin/python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python3; do
    if [ -x "$candidate" ] && "$candidate" -c 'import sys, venv; raise SystemExit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "oldest: Python 3.11 is missing (Debian 12: apt-get install python3 python3-venv)" >&2
    exit 1
fi
VENV=.venv-oldest scripts/setup.sh "$python"
PATH="$PWD/.venv-oldest/bin:$PATH"
export PATH
ansible --version | head -n 1
python -m pytest tests/unit -q
scripts/sanity.sh .venv-oldest
python -m tests.lab.demo >.cache/oldest-demo.log 2>&1 || { cat .cache/oldest-demo.log; exit 1; }
grep -A 5 "== what the observer saw" .cache/oldest-demo.log
python -m tests.scenarios connection_leak healthy two_causes_locks --seeds 1
