"""Servers that let nobody in, hang, or are something else than they seem: each is said, in time, and hides nothing else."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import typing as t

import psycopg2
import pytest

from tests import collection
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.postgresql import server as postgres
from tests.lab.state import Lab

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import index, planning, statistics
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import acting
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import Limits, triage

NAMES = [diagnostic.name for diagnostic in DIAGNOSTICS]


@pytest.fixture(scope="module")
def server() -> t.Iterator[Lab]:
    lab = Lab.named("refusals")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {})
        yield lab
    finally:
        lab.end()


def login(lab: Lab, user: str = "custody_monitor", **changes: t.Any) -> Login:
    part = lab.part("postgres")
    fields = {
        "host": "127.0.0.1",
        "port": part["port"],
        "database": "custody_db",
        "user": user,
        "password": part["passwords"][user],
    }
    return Login(**{**fields, **changes})


REFUSALS = [
    ("a wrong password", {"password": "wrong"}, None, "authentication"),
    ("no such database", {"database": "custody"}, None, "no_such_database"),
    ("no TLS on the server", {"ssl_mode": "require"}, None, "tls"),
    ("our role's own limit", {}, "ALTER ROLE custody_monitor CONNECTION LIMIT 0", "role_limit"),
    ("the database's limit", {}, "ALTER DATABASE custody_db CONNECTION LIMIT 0", "database_limit"),
    ("nobody listens", {"port": 1}, None, "unreachable"),
]


@pytest.mark.parametrize(("name", "changes", "statement", "kind"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_why_nobody_gets_in(server: Lab, name: str, changes: dict[str, t.Any], statement: str | None, kind: str) -> None:
    with faults.superuser(server) as cursor:
        if statement:
            cursor.execute(statement)
        try:
            read = triage(login(server, **changes), Limits(), NAMES)
        finally:
            if statement:
                cursor.execute(statement.replace("LIMIT 0", "LIMIT -1"))
    assert (read["connected"], read["refusal"]["kind"]) == (False, kind)


REFUSES_OPTIONS = b"SFATAL\0C08P01\0Munsupported startup parameter in options: search_path\0\0"


class Pooler:
    """As transaction poolers do, it refuses a session's own settings, or lets them fall and goes on to the server."""

    def __init__(self, port: int, *, refuses: bool) -> None:
        self._server, self._refuses = ("127.0.0.1", port), refuses
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.statements = b""

    def __enter__(self) -> Pooler:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._have, args=(self._listening.accept()[0],), daemon=True).start()

    def _have(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(client):
            start = client.recv(65536)
            if self._refuses:
                client.sendall(b"E" + (len(REFUSES_OPTIONS) + 4).to_bytes(4, "big") + REFUSES_OPTIONS)
                return
            words = start[8:].split(b"\0")
            kept = [pair for pair in zip(words[::2], words[1::2], strict=False) if pair[0] not in (b"options", b"")]
            body = start[4:8] + b"".join(name + b"\0" + value + b"\0" for name, value in kept) + b"\0"
            with socket.create_connection(self._server) as server:
                server.sendall((len(body) + 4).to_bytes(4, "big") + body)
                threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()
                while data := client.recv(65536):
                    self.statements += data
                    server.sendall(data)

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "let fall"])
def test_nothing_is_set_in_a_session_that_a_pooler_shares(server: Lab, refuses: bool) -> None:
    with Pooler(server.part("postgres")["port"], refuses=refuses) as pooler:
        read = triage(login(server, port=pooler.port, ssl_mode="disable"), Limits(), NAMES)
    assert (read["connected"], read["refusal"]["kind"]) == (False, "pooler")
    assert "runbooks_db_host" in read["refusal"]["message"]
    assert b"SET" not in pooler.statements


HOSTILE_SETTINGS = {
    "statement_timeout": "'1ms'", "idle_session_timeout": "'1ms'", "transaction_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'", "array_nulls": "off", "transform_null_equals": "on",
    "quote_all_identifiers": "on", "IntervalStyle": "sql_standard", "DateStyle": "'SQL, DMY'",
    "default_transaction_isolation": "serializable", "search_path": "public", "standard_conforming_strings": "off",
}  # fmt: skip


def test_what_a_database_s_owner_sets_for_everybody_hides_nothing(server: Lab) -> None:
    with faults.superuser(server, "postgres") as cursor:
        for name, value in HOSTILE_SETTINGS.items():
            cursor.execute(f"ALTER DATABASE custody_db SET {name} = {value}")
    try:
        read = triage(login(server), Limits(), NAMES, login(server, "custody_planner"))
    finally:
        with faults.superuser(server, "postgres") as cursor:  # a session of that database is ended within a millisecond
            cursor.execute("ALTER DATABASE custody_db RESET ALL")
    assert read["connected"]
    assert read["gaps"] == []


def test_while_a_catalog_is_locked_the_server_listens_and_logins_hang(server: Lab) -> None:
    with contextlib.closing(psycopg2.connect(postgres.dsn(server, "postgres"))) as person, person.cursor() as cursor:
        cursor.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        read = triage(login(server, connect_timeout=2), Limits(), NAMES)
    assert (read["connected"], read["refusal"]["kind"]) == (False, "login_hangs")
    assert time.monotonic() - started < 6


class Proxy:
    """Between us and the server: forwards everything until the client's bytes hold a word, and then nothing more."""

    def __init__(self, port: int, word: bytes) -> None:
        self.port, self.word = port, word
        self.stalled = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.own_port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                there = socket.create_connection(("127.0.0.1", self.port))
                for source, sink in ((client, there), (there, client)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.word in data:
                    self.stalled.set()
                if self.stalled.is_set():
                    return
                sink.sendall(data)


def test_a_server_that_stops_answering_costs_the_deadline_and_no_more(server: Lab) -> None:
    proxy = Proxy(server.part("postgres")["port"], b"pg_prepared_xacts")
    started = time.monotonic()
    read = triage(login(server, port=proxy.own_port), Limits(seconds=2.0), NAMES)
    assert time.monotonic() - started < 4
    assert read["connected"]
    assert {"server", "settings", "locks"} <= set(read)
    late = {gap["diagnostic"]: gap["reason"] for gap in read["gaps"]}
    assert late["prepared_transactions"].startswith("not answered within 2 s")
    assert {*late, *read} >= set(NAMES)
    proxy.listener.close()


def test_a_server_that_says_nothing_at_all_costs_the_deadline(server: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        read = triage(login(server, port=silent.getsockname()[1], connect_timeout=30), Limits(seconds=2.0), NAMES)
    assert (read["connected"], read["refusal"]["kind"]) == (False, "login_hangs")
    assert time.monotonic() - started < 4


def test_the_text_of_another_database_s_encoding_hides_nothing(server: Lab) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("CREATE DATABASE latin ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    fault = faults.Fault(server, "latin", 1)
    try:
        connection = fault.connect("old", "postgres", "old", "latin")
        connection.set_client_encoding("LATIN1")
        fault.issue(connection, "SELECT pg_sleep(86400) /* \u00e9t\u00e9 */ -- \u00fc")
        time.sleep(1.3)
        read = triage(login(server), Limits(query_text=True), NAMES)
        assert read["gaps"] == []
        assert "SELECT pg_sleep(?)" in [row["query"] for row in read["long_running"]]
    finally:
        fault.close()
        with faults.superuser(server) as cursor:
            cursor.execute("DROP DATABASE latin WITH (FORCE)")


def test_a_table_with_a_rule_that_does_nothing_is_planned(server: Lab) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("CREATE RULE nothing AS ON UPDATE TO tenants DO INSTEAD NOTHING")
        try:
            cursor.execute("SELECT 'tenants'::regclass::oid::bigint")
            locked = (int((cursor.fetchone() or (0,))[0]),)
            busy = planning.Busy("UPDATE tenants SET name = 'x' WHERE name = 'y'", locked, ("public",))
            planned = planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)
        finally:
            cursor.execute("DROP RULE nothing ON tenants")
    assert [scan["columns"] for scan in planned["scans"]] == [["name"]]


@pytest.fixture
def standby(server: Lab) -> t.Iterator[Login]:
    """A copy of the server's template that is in recovery for good."""
    source = postgres.template("18")
    data = server.file("standby")
    subprocess.run(["cp", "-a", str(source / "data"), str(data)], check=True)
    (data / "standby.signal").touch()
    postgres.own(data)
    port = postgres.free_port()
    pid = postgres.start(data, "18", port, pathlib.Path(server.file("standby.log")), {"hot_standby": "on"})
    try:
        yield login(server, port=port)
    finally:
        postgres.stop(pid)
        shutil.rmtree(data)


def test_on_a_standby_everything_is_read_and_nothing_that_writes_is_tried(server: Lab, standby: Login) -> None:
    read = triage(standby, Limits(), NAMES)
    assert (read["gaps"], read["server"]["in_recovery"]) == ([], True)
    admin = login(server, "custody_admin", port=standby.port)
    with acting(admin, check_mode=False) as connection:
        with pytest.raises(PostgresqlError, match="this server is a standby"):
            index.plan(connection, index.Wanted("public", "tenants", "present", "i", ("name",)))
        with pytest.raises(PostgresqlError, match="this server is a standby"):
            statistics.look(connection, "public", "tenants")
