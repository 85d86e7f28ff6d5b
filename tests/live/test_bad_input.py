"""Bad input, dead systems, hostile text: one clear sentence, and nothing half done."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import psycopg2
import pytest

from tests import harness
from tests.lab.postgresql.server import dsn
from tests.lab.sim import control
from tests.lab.state import PROJECT, Lab

FAST = {"recovery_check_timeout": 1.0, "recovery_check_within": 4.0}
LOUD = {**harness.ALL_CHANNELS, **FAST}
HOSTILE = "{{ lookup('pipe', 'touch PWNED') }}\x1b[31m<script>alert(1)</script>'; DROP TABLE x;--"
EMPTY_GROUP = "[role_database]\n[role_edge]\nlocalhost\n"

WRONG: list[tuple[str, list[str], dict[str, t.Any], str]] = [
    ("unknown mitigation", ["-e", "mitigate=cancel_everything"], {}, "there is no mitigation cancel_everything; there are: "),
    ("a misspelt word", ["-e", "mitigation=cancel_queued_ddl"], {}, "did you mean -e mitigate="),
    ("an unknown phase", ["--tags", "diagnoze"], {}, "there is no phase diagnoze; there are: declare, diagnose"),
    ("unknown target", ["-e", "target=lab-bd"], {}, "there is no target lab-bd in role_database; there are: lab-db"),
    ("unknown approval", ["-e", "approval=perhaps"], {}, "approval is auto or prompt, not 'perhaps'"),
    ("unknown channel", [], {"incident_channels": ["slack"]}, "there is no channel slack; there are: pagerduty, status_page"),
    ("unoffered without a reason", ["-e", "mitigate_unoffered=true"], {}, "needs a reason"),
    ("--limit instead of target", ["--limit", "lab-db"], {}, "choose systems with -e target=NAME instead"),
    ("a threshold of the wrong type", [], {"incident_relapse_window": "soon"}, "incident_relapse_window"),
    ("a mitigation that is not offered", ["-e", "mitigate=cancel_queued_ddl"], {}, "was refused: the verdict is healthy"),
    ("an alert that is not there", [], {"incident_alert_file": "/nowhere/alert"}, "the alert /nowhere/alert cannot be read"),
    ("a folder that cannot be written", [], {"incident_record_root": "/proc/x"}, "Give one that can: -e incident_record_root="),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "variables", "sentence"), WRONG, ids=[one[0] for one in WRONG])
def test_wrong_input(
    lab: Lab, root: pathlib.Path, name: str, options: list[str], variables: dict[str, t.Any], sentence: str
) -> None:
    before = harness.sessions(lab)
    played = harness.play(lab, root, *options, variables={**FAST, **variables})
    assert played.code != 0
    assert sentence in played.output
    assert harness.sessions(lab) == before
    assert [control.journal(lab, vendor) for vendor in harness.VENDORS] == [[], [], []]


def test_an_empty_group(lab: Lab, root: pathlib.Path) -> None:
    (root / "inventory").write_text(EMPTY_GROUP)
    played = harness.play(lab, root, "-i", str(root / "inventory"), variables=FAST)
    assert played.code != 0
    assert "the inventory has no host in role_database" in played.output


def test_blank_words_are_words_not_given(lab: Lab, root: pathlib.Path) -> None:
    words = dict.fromkeys(("target", "mitigate", "approval", "incident_key", "reason"))
    assert harness.play(lab, root, variables={**FAST, **words}).code == 0


def test_a_threshold_of_the_wrong_type_is_a_gap_that_names_it(lab: Lab, root: pathlib.Path) -> None:
    played = harness.play(lab, root, variables={**FAST, "recovery_check_p95_ms_max": "fast"})
    assert "recovery_check_p95_ms_max" in played.output


def with_a_dead_host(root: pathlib.Path) -> str:
    """The lab, and a database beside it that cannot be reached by ssh."""
    folder = root / "inventory"
    folder.mkdir()
    (folder / "lab").symlink_to(PROJECT / "inventories" / "lab" / "lab_inventory.py")
    (folder / "group_vars").symlink_to(PROJECT / "inventories" / "lab" / "group_vars")
    dead = "[role_database]\ndead-db ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 runbooks_db_host=127.0.0.1 "
    dead += "runbooks_db_name=shop runbooks_db_monitor_user=monitor\n"
    (folder / "dead.ini").write_text(dead)
    return str(folder)


def test_a_dead_host_is_a_gap_and_the_others_are_read(lab: Lab, root: pathlib.Path) -> None:
    inventory = with_a_dead_host(root)
    played = harness.play(lab, root / "incidents", "-i", inventory, variables={**FAST, "incident_declare": "never"})
    assert played.code == 0, played.output
    unreached = {
        "system": "dead-db", "kind": "postgresql", "what": "everything", "why": "no facts came: the system was unreachable",
        "vital": True,
    }  # fmt: skip
    assert unreached in played.findings["gaps"]
    assert played.line("UNPROVEN")


def test_only_a_dead_host_is_not_healthy(lab: Lab, root: pathlib.Path) -> None:
    inventory = root / "dead.ini"
    inventory.write_text("[role_database]\ndead-db ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n")
    played = harness.play(lab, root / "incidents", "-i", str(inventory), variables=FAST)
    assert played.code != 0
    assert "nothing could be read, neither what users feel nor a system" in played.output


# A login of our own that is refused is a gap; where nobody answers, that is a finding too.
REACH: list[tuple[str, dict[str, t.Any], list[str], str]] = [
    ("wrong port", {"runbooks_db_port": 1}, ["unreachable"], "onnection refused"),
    ("wrong password", {"runbooks_db_monitor_password": "nope"}, [], "the server answered and does not let custody_monitor in"),
    ("no such database", {"runbooks_db_name": "shop'; DROP TABLE x;--"}, [], "does not let custody_monitor in"),
]


@pytest.mark.parametrize(("name", "variables", "kinds", "why"), REACH, ids=[one[0] for one in REACH])
def test_a_database_that_cannot_be_read_is_said_and_not_called_a_cause_while_users_are_well(
    lab: Lab, root: pathlib.Path, name: str, variables: dict[str, t.Any], kinds: list[str], why: str
) -> None:
    played = harness.play(lab, root, variables={**FAST, **variables, "incident_declare": "never"})
    assert played.code == 0, played.output
    assert played.line("UNPROVEN")
    assert [finding["evidence"]["kind"] for finding in played.findings["findings"]] == kinds
    assert "could not read" in played.output
    assert why in played.output


def test_exhausted_connections_are_an_answer(lab: Lab, root: pathlib.Path) -> None:
    with contextlib.closing(psycopg2.connect(dsn(lab, "postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ALTER DATABASE custody_db CONNECTION LIMIT 0")
        try:
            played = harness.play(lab, root, variables={**FAST, "incident_declare": "never"})
        finally:
            cursor.execute("ALTER DATABASE custody_db CONNECTION LIMIT -1")
    assert [cause["id"] for cause in played.causes] == ["db.connections_refused"]
    assert "too many connections for database" in played.line("CAUSE")


def test_hostile_text_from_every_door_is_only_text(lab: Lab, root: pathlib.Path) -> None:
    """An application's name, an alert, a reason, a key: nothing runs, nothing is rendered."""
    with contextlib.closing(psycopg2.connect(dsn(lab, "custody_app").replace("application_name=lab", ""),
                                             application_name=HOSTILE[:63])) as holder:  # fmt: skip
        holder.cursor().execute("UPDATE custody_usage SET signatures = 0 WHERE tenant_id <= 10")
        harness.suffering(lab)
        words = {"reason": HOSTILE, "incident_key": HOSTILE, "incident_alert_file": "-", "incident_declare": "at_once"}
        played = harness.play(lab, root, variables={**LOUD, **words}, stdin=HOSTILE)
    assert played.code == 0, played.output
    assert [cause["id"] for cause in played.causes] == ["db.idle_in_transaction"]
    assert "{{ lookup('pipe'" in played.line("CAUSE")
    assert "{{ lookup('pipe'" in played.line("ALERT")
    assert "\x1b" not in played.output
    assert "<script" not in (played.folder / "report.html").read_text()
    assert not list(PROJECT.rglob("PWNED")) + list(root.rglob("PWNED"))
    (incident,) = control.state(lab, "pagerduty")["incidents"]
    assert incident["incident_key"].startswith("{{ lookup('pipe'")


def test_a_role_without_privileges_is_named_with_the_grant(lab: Lab, root: pathlib.Path) -> None:
    passwords = lab.part("postgres")["passwords"]
    login = {"runbooks_db_monitor_user": "reporting", "runbooks_db_monitor_password": passwords["reporting"]}
    played = harness.play(lab, root, variables={**FAST, **login, "incident_declare": "never"})
    assert played.code == 0, played.output
    assert "GRANT pg_monitor TO reporting;" in played.output
