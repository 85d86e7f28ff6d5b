"""What can be undone is undone: the server's roles and schema are, to the letter, what they were before the mitigation."""

from __future__ import annotations

import os
import pathlib
import subprocess

import psycopg2
import pytest

from tests import harness
from tests.lab import faults
from tests.lab.postgresql import server as postgres
from tests.lab.state import Lab
from tests.live.test_runbook import FAST

LIMITS = {**FAST, "recovery_check_within": 20.0}


def dumped(lab: Lab, *command: str) -> list[str]:
    """A dump of pg_dump or pg_dumpall, without the line that is random in each (its \\restrict key)."""
    part = lab.part("postgres")
    program = postgres.binaries("18") / command[0]
    where = ["-h", part["host"], "-p", str(part["port"]), "-U", "postgres"]
    environment = {**os.environ, "PGPASSWORD": part["passwords"]["postgres"]}
    done = subprocess.run([str(program), *where, *command[1:]], env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]


CASES = [
    ("connection-leak", "isolate_client", ("pg_dumpall", "-r"), "connection limit of"),
    ("missing-index", "create_index", ("pg_dump", "-s", "custody_db"), "dropped index audit_entries_reference_idx"),
]


@pytest.mark.parametrize(("fault", "mitigation", "dump", "told"), CASES, ids=[case[1] for case in CASES])
def test_what_was_done_is_undone(
    lab: Lab, root: pathlib.Path, fault: str, mitigation: str, dump: tuple[str, ...], told: str
) -> None:
    faults.break_it(lab, fault, seed=1)
    harness.suffering(lab, locks=False)
    before = dumped(lab, *dump)
    acted = harness.play(lab, root, "-e", f"mitigate={mitigation}", variables=LIMITS)
    assert acted.code == 0, acted.output
    assert "playbooks/undo.yml" in acted.line("UNDO")
    assert acted.incident["id"] in acted.line("UNDO")
    changed = dumped(lab, *dump)
    assert changed != before
    undo = {"playbook": "playbooks/undo.yml", "variables": {"incident_id": acted.incident["id"]}}

    checked = harness.play(lab, root, "--check", **undo)
    assert checked.code == 0, checked.output
    assert f"would do  the undo of {mitigation}" in checked.output
    assert dumped(lab, *dump) == changed

    undone = harness.play(lab, root, **undo)
    assert undone.code == 0, undone.output
    assert told in undone.line("UNDONE")
    assert "now look how users are: ansible-playbook playbooks/runbook_db_degradation.yml" in undone.output
    assert dumped(lab, *dump) == before

    again = harness.play(lab, root, **undo)
    assert again.code == 0, again.output
    assert "nothing was taken back" in again.output


def test_an_undo_that_fails_is_not_green_and_can_be_tried_again(lab: Lab, root: pathlib.Path) -> None:
    faults.break_it(lab, "connection-leak", seed=1)
    harness.suffering(lab, locks=False)
    acted = harness.play(lab, root, "-e", "mitigate=isolate_client", variables=LIMITS)
    assert acted.code == 0, acted.output
    words = {"incident_id": acted.incident["id"]}
    failed = harness.play(lab, root, playbook="playbooks/undo.yml", variables={**words, "db_mitigation_admin_password": "wrong"})
    assert failed.code != 0
    assert "the undo of isolate_client on lab-db failed" in failed.output
    assert harness.play(lab, root, playbook="playbooks/undo.yml", variables=words).code == 0


def test_an_index_is_refused_behind_an_older_transaction_which_is_named(lab: Lab, root: pathlib.Path) -> None:
    faults.break_it(lab, "missing-index", seed=1)
    harness.suffering(lab, locks=False)
    held = psycopg2.connect(postgres.dsn(lab, "batch", application="left-open"))
    try:
        held.set_session(isolation_level="REPEATABLE READ")  # so that it keeps its snapshot
        with held.cursor() as cursor:
            cursor.execute("SELECT 1")
        variables = {**LIMITS, "recovery_check_within": 2.0, "db_mitigation_index_transaction_seconds_max": 0.0}
        refused = harness.play(lab, root, "-e", "mitigate=create_index", variables=variables)
        assert refused.code != 0
        assert "it would wait for" in refused.output
        assert "(batch, left-open)" in refused.output
        assert harness.play(lab, root, "-e", "mitigate=create_index", "--check", variables=variables).code != 0
        # A transaction that begins to be in the way only then ends the building, and nothing of it stays.
        variables = {
            **LIMITS,
            "recovery_check_within": 2.0,
            "db_mitigation_index_lock_timeout": 2.0,
            "db_mitigation_index_transaction_seconds_max": 600.0,
        }
        waited = harness.play(lab, root, "-e", "mitigate=create_index", variables=variables)
        assert waited.code != 0
        assert "what was left of it was dropped" in waited.output
    finally:
        held.close()
    with faults.superuser(lab) as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchone() == (0,)
