#!/bin/sh
# mypy on the product and the lab. A collection's imports start at ansible_collections, so it is laid out that way first.
set -eu
cd "$(dirname "$0")/.."
rm -rf .cache/mypy
mkdir -p .cache/mypy/ansible_collections/sre/runbooks
cp -r plugins .cache/mypy/ansible_collections/sre/runbooks/plugins
find .cache/mypy -type d -name __pycache__ -prune -exec rm -rf {} +
(cd .cache/mypy && ../../.venv/bin/mypy --config-file ../../pyproject.toml -p ansible_collections.sre.runbooks.plugins)
.venv/bin/mypy tests/lab tests/scenarios tests/bench tests/*.py
