#!/bin/sh
# ansible-test sanity on a copy of the collection, where ansible-test wants it.
# Usage: scripts/sanity.sh [virtual environment, by default .venv]
set -eu
cd "$(dirname "$0")/.."
venv=$(cd "${1:-.venv}" && pwd)
version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# ansible-test downloads pip's installer; Python brings one that serves as well and needs no download.
cache="${HOME}/.ansible/test/cache"
mkdir -p "$cache"
for installer in get_pip_24_2.py get_pip_25_2.py; do
    [ -s "$cache/$installer" ] || echo 'import ensurepip; ensurepip.bootstrap(upgrade=True)' >"$cache/$installer"
done
copy=.cache/sanity/ansible_collections/sre/runbooks
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z -- galaxy.yml meta plugins roles playbooks README.md changelogs tests/sanity tests/unit tests/config.yml |
    xargs -0 cp --parents -t "$copy"
cd "$copy"
# Without a repository of its own the copy would be read as an ignored folder of ours.
git init --quiet .
git add --all
PATH="$venv/bin:$PATH" "$venv/bin/ansible-test" sanity --local --python "$version" --color no
