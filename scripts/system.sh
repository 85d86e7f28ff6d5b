#!/bin/sh
# Installs what the tests need of the system. Where it may not, it says what is missing and fails.
set -eu
cd "$(dirname "$0")/.."
missing=""
command -v setpriv >/dev/null 2>&1 || missing="$missing util-linux"
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing="$missing postgresql-15"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v git >/dev/null 2>&1 || missing="$missing git"
servers() {
    scripts/postgresql.sh
    scripts/control_plane.sh >/dev/null
}
if [ -z "$missing" ]; then
    servers
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "system: these Debian packages are missing and cannot be installed from here:$missing" >&2
    echo "system: as root: apt-get update && apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "system: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# The cluster that Debian would create and start is not wanted: the lab makes its own.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
# shellcheck disable=SC2086 # a list of words
apt-get -qq install --no-install-recommends -y $missing >/dev/null
servers
