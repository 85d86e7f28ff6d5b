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
touch ansible.cfg
export ANSIBLE_CONFIG="$PWD/ansible.cfg" ANSIBLE_COLLECTIONS_PATH="$PWD/collections"
ansible-galaxy collection install --offline "$root/$tarball" -p collections >/dev/null
# A database that nobody answers for: the installed runbook must run to its screen and say so.
cat >inventory.ini <<'INVENTORY'
[role_database]
nobody ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"
[role_database:vars]
runbooks_db_host=127.0.0.1
runbooks_db_port=1
runbooks_db_name=shop
runbooks_db_monitor_user=monitor
INVENTORY
ansible-playbook sre.runbooks.runbook_db_degradation -i inventory.ini >run.log 2>&1 && { cat run.log; exit 1; }
grep -q "^UNPROVEN" run.log && grep -q "could not read nobody PostgreSQL: Connection refused" run.log || { cat run.log; exit 1; }
echo "importer: clean; the runbook runs by FQCN from the installed tarball"
