"""``make bench``: how fast is the verdict on a busy server, against the ways in which people do it otherwise.

300 connections, 60 of them blocked, 2,000 tables, and then 20,000. Medians of five; each timed run of the runbook must give the
right verdict.
"""

from __future__ import annotations

import datetime
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

import psycopg2
import psycopg2.extensions
import yaml

from tests import collection, harness
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.postgresql import locks
from tests.lab.postgresql import server as postgres
from tests.lab.state import PROJECT, Lab, wait_until

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import queries
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS, Diagnostic
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import Limits, triage

ROUNDS = 5
CONNECTIONS = 300
BLOCKED = 60
TABLES = 2000
MANY_TABLES = 20000
GOALS = {"a": 2.0, "b": 1.2, "b-": 1.2, "c": 0.1, "d": 5.0, "e": 150.0}
EMPTY = [{"name": "Nothing", "hosts": "localhost", "gather_facts": False, "tasks": []}]


def median(measure: t.Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def make_tables(lab: Lab, first: int, last: int) -> None:
    with faults.superuser(lab) as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS bench")
        for number in range(first, last, 200):
            tables = "; ".join(f"CREATE TABLE bench.t{n} (id int PRIMARY KEY, v text)" for n in range(number, number + 200))
            cursor.execute(tables)


def fill(lab: Lab) -> list[psycopg2.extensions.connection]:
    """2,000 tables, and idle connections up to 300."""
    make_tables(lab, 0, TABLES)
    with faults.superuser(lab) as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        used = (cursor.fetchone() or (0,))[0]
    idle = CONNECTIONS - used + 1
    return [psycopg2.connect(postgres.dsn(lab, "custody_app", application="idle")) for _ in range(idle)]


def block(lab: Lab) -> int:
    """Sixty sessions queue behind a migration. Returns the migration's pid."""
    fault = faults.Fault(lab, "bench", 1)
    locks.queue_ddl(fault, "custody_db", "custody_keys", BLOCKED - 1, "custody_app")
    KEPT.append(fault)
    wait_until(lambda: fault.waiting("custody_db") == BLOCKED, 20, "sixty blocked sessions")
    return next(session.pid for session in fault.sessions if session.role == "ddl")


KEPT: list[faults.Fault] = []


def timed(command: list[str], lab: Lab) -> float:
    started = time.monotonic()
    done = subprocess.run(command, env=harness.environment(lab), cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def play_of(lab: Lab, folder: pathlib.Path, plays: list[dict[str, t.Any]]) -> t.Callable[[], float]:
    """How long a playbook takes."""
    path = folder / f"{len(list(folder.iterdir()))}.yml"
    path.write_text(yaml.safe_dump(plays))
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), str(path), "-i", "inventories/lab"]
    return lambda: timed(command, lab)


def verdict_seconds(lab: Lab, ddl: int) -> float:
    """From the start of ansible-playbook to the verdict in the record; the verdict must be the right one."""
    with harness.a_root() as root:
        started = datetime.datetime.now(datetime.UTC)
        played = harness.play(lab, root)
        assert played.code == 0, played.output
        assert [(one["id"], one["subject"]["key"]) for one in played.causes] == [("db.queued_ddl", str(ddl))], played.output
        judged = datetime.datetime.fromisoformat(played.findings["at"].replace("Z", "+00:00"))
    return (judged - started).total_seconds()


def login(lab: Lab) -> Login:
    server = lab.part("postgres")
    return Login("127.0.0.1", server["port"], "custody_db", "custody_monitor", server["passwords"]["custody_monitor"])


def collector_seconds(lab: Lab) -> float:
    started = time.monotonic()
    read = triage(login(lab), Limits(), [diagnostic.name for diagnostic in DIAGNOSTICS])
    assert not read["gaps"], read["gaps"]
    return time.monotonic() - started


def psql_seconds(lab: Lab, script: pathlib.Path) -> float:
    program = str(postgres.binaries("18") / "psql")
    return timed([program, "-X", "-q", "-A", "-f", str(script), postgres.dsn(lab, "custody_monitor")], lab)


def schema_of_statements(lab: Lab) -> str:
    """Where pg_stat_statements lies, quoted."""
    with faults.superuser(lab) as cursor:
        cursor.execute(
            "SELECT quote_ident(extnamespace::regnamespace::text) FROM pg_extension WHERE extname = 'pg_stat_statements'"
        )
        (schema,) = cursor.fetchone() or ("public",)
    return str(schema)


def statements_of(lab: Lab) -> list[tuple[Diagnostic, str]]:
    """Those with a statement of their own; what another one's answer is asked further for, only ours asks."""
    own = {"statements": queries.statements(schema_of_statements(lab))}
    asked = [(diagnostic, own.get(diagnostic.name, diagnostic.text)) for diagnostic in DIAGNOSTICS]
    return [(diagnostic, text) for diagnostic, text in asked if text]


def script_text(lab: Lab) -> str:
    """Everything that the collector asks, as often and with the same pauses, for psql."""
    parts = []
    for diagnostic, text in statements_of(lab):
        pause = f";SELECT pg_sleep({diagnostic.pause});" if diagnostic.pause else ";"
        readings = 2 if diagnostic.name == "statements" else diagnostic.times  # its first one comes before the samples
        parts.append(pause.join([text] * readings))
    return ";\n".join(parts) + ";\n"


def pauses() -> float:
    """How many seconds the collector and the script sleep between their looks."""
    return sum(diagnostic.pause * (diagnostic.times - 1) for diagnostic in DIAGNOSTICS)


MEMORY = """
import resource, sys
from tests import collection
collection.install()
from tests.bench.db_triage import collector_seconds
from tests.lab.state import Lab
collector_seconds(Lab.named(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def memory_megabytes(lab: Lab) -> float:
    """The most memory that a process which only collects has had."""
    done = subprocess.run([sys.executable, "-c", MEMORY, lab.name], cwd=PROJECT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def triage_play(lab: Lab) -> list[dict[str, t.Any]]:
    one = login(lab)
    where = {"login_host": one.host, "login_port": one.port, "login_db": one.database, "login_user": one.user,
             "login_password": one.password}  # fmt: skip
    task = {"name": "Triage", "sre.runbooks.postgresql_triage_info": where}
    return [{"name": "One task", "hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [task]}]


def query_play(lab: Lab) -> list[dict[str, t.Any]]:
    one = login(lab)
    where = {"login_host": one.host, "login_port": one.port, "login_db": one.database, "login_user": one.user,
             "login_password": one.password}  # fmt: skip
    tasks = [
        {
            "name": f"Query {number}",
            "community.postgresql.postgresql_query": {**where, "query": "{% raw %}" + text + "{% endraw %}"},
        }
        for number, (_, text) in enumerate(statements_of(lab))
    ]
    return [{"name": "One task each", "hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": tasks}]


def say(name: str, what: str, value: float, unit: str) -> bool:
    good = value <= GOALS[name]
    print(f"{f'({name})':<4} {what:<78} {value:6.2f} {unit:<2} goal {GOALS[name]:g}  {'ok' if good else 'MISSED'}", flush=True)
    return good


def measure(lab: Lab, folder: pathlib.Path) -> list[bool]:
    ddl = block(lab)
    idle = fill(lab)
    print(f"{CONNECTIONS} connections, {BLOCKED} blocked, {TABLES} tables; medians of {ROUNDS}", flush=True)
    time.sleep(1.5)  # the default limit for a lock wait is one second
    script = folder / "statements.sql"
    script.write_text(script_text(lab))
    empty = median(play_of(lab, folder, EMPTY))
    verdict = median(lambda: verdict_seconds(lab, ddl))
    collector, psql = median(lambda: collector_seconds(lab)), median(lambda: psql_seconds(lab, script))
    ours, theirs = median(play_of(lab, folder, triage_play(lab))), median(play_of(lab, folder, query_play(lab)))
    print(f"    an empty play takes {empty:.2f} s", flush=True)
    results = [
        say("a", f"the runbook's verdict after {verdict:.2f} s, minus an empty play", verdict - empty, "s"),
        say("b", f"the collector {collector * 1000:.0f} ms against psql {psql * 1000:.0f} ms", collector / psql, "×"),
        say("b-", "the same, both without the pauses between their looks", (collector - pauses()) / (psql - pauses()), "×"),
        say("c", f"one triage task {ours - empty:.2f} s against {len(DIAGNOSTICS)} postgresql_query tasks {theirs - empty:.2f} s",
            (ours - empty) / (theirs - empty), "×"),
    ]  # fmt: skip
    make_tables(lab, TABLES, MANY_TABLES)
    verdict = median(lambda: verdict_seconds(lab, ddl))
    results += [
        say("d", f"with {MANY_TABLES} tables the verdict after {verdict:.2f} s, minus an empty play", verdict - empty, "s"),
        say("e", "memory of a process that collects, with as many tables", memory_megabytes(lab), "MB"),
    ]
    for connection in idle:
        connection.close()
    return results


def main() -> int:
    lab = Lab.named("bench")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {"max_connections": "350"})
        with tempfile.TemporaryDirectory() as folder:
            results = measure(lab, pathlib.Path(folder))
    finally:
        lab.end()
    print(f"bench: {sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
