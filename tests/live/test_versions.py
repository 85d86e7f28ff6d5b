"""Every diagnostic on every server version of the lab, as the monitoring role and no more."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from tests import collection
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.faults import locks
from tests.lab.postgresql import server as postgres
from tests.lab.state import Lab, wait_until
from tests.scenarios.runner import longest_running

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import Limits, triage

NAMES = [diagnostic.name for diagnostic in DIAGNOSTICS]


def login(lab: Lab, user: str) -> Login:
    server = lab.part("postgres")
    return Login("127.0.0.1", server["port"], "custody_db", user, server["passwords"][user])


@pytest.mark.parametrize("version", ["13", "14", "15", "16", "17", "18"])
def test_every_diagnostic_is_read_and_tells_the_culprit(version: str) -> None:
    lab = Lab.named(f"version-{version}")
    lab.end()
    try:
        up(lab, ("postgres",), version, {})
        fault = faults.Fault(lab, "queued", 1)
        locks.queue_ddl(fault, "custody_db", "custody_keys", 5, "custody_app")
        wait_until(lambda: longest_running(lab, 1.5) is not None, 10, "a statement that has run for long")
        read = triage(login(lab, "custody_monitor"), Limits(query_text=True), NAMES)
        assert read["gaps"] == []
        assert set(NAMES) <= set(read)
        assert read["server"]["version_num"] // 10000 == int(version)
        (ddl,) = [one for one in fault.sessions if one.role == "ddl"]
        root = read["locks"]["roots"][0]
        assert (root["pid"], len(root["softly"])) == (ddl.pid, 5)
        assert "pg_sleep(?)" in {row["user"]: row["query"] for row in read["long_running"]}["reporting"]
    finally:
        lab.end()


def test_a_question_that_fails_leaves_the_others_answered() -> None:
    lab = Lab.named("degraded")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {})
        with contextlib.closing(psycopg2.connect(postgres.dsn(lab, "postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("REVOKE SELECT ON pg_prepared_xacts FROM PUBLIC")
            read = triage(login(lab, "custody_monitor"), Limits(), NAMES)
        assert [(gap["diagnostic"], gap["sqlstate"]) for gap in read["gaps"]] == [
            ("prepared_transactions", "42501"), ("oldest_xmin", "42501"),
        ]  # fmt: skip
        assert set(NAMES) - set(read) == {"prepared_transactions", "oldest_xmin"}
    finally:
        lab.end()
