#!/bin/sh
# Builds the tarball, lets galaxy-importer judge it, installs it into an empty place and asks a playbook for its tasks.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
out=.cache/build
rm -rf "$out"
mkdir -p "$out/tree" "$out/elsewhere"
# Only what git tracks is built: what lies around in a work tree is nobody's release.
git ls-files -z | xargs -0 cp --parents --no-dereference -t "$out/tree"
(cd "$out/tree" && ansible-galaxy collection build --output-path .. >/dev/null)
tarball=$(ls "$out"/*.tar.gz)
echo "importer: $(basename "$tarball"), $(tar tzf "$tarball" | wc -l) files"
(cd "$out" && python -m galaxy_importer.main "$(basename "$tarball")") >"$out/importer.log" 2>&1 || { cat "$out/importer.log"; exit 1; }
if grep -E "ERROR|WARNING" "$out/importer.log" | grep -vE "No docker|pkg_resources"; then
    echo "importer: not clean" >&2
    exit 1
fi
cd "$out/elsewhere"
export ANSIBLE_CONFIG=/dev/null ANSIBLE_COLLECTIONS_PATH="$PWD/collections"
ansible-galaxy collection install --offline "$root/$tarball" -p collections >/dev/null
ansible-playbook sre.runbooks.runbook_db_degradation -i localhost, --list-tags
echo "importer: clean; the runbook runs by FQCN from the installed tarball"
