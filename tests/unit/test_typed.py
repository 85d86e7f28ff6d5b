"""What was typed: nothing that the person meant is lost on the way, and no slip of the hand passes for a look."""

from __future__ import annotations

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import (
    companion,
    left_out,
    next_command,
    refuse_slips,
    whole_text,
)

WHOLE: list[tuple[str, list[str], str | None, str | None]] = [
    ("two words", ["-e", "text=restarted the pooler"], "restarted", "restarted the pooler"),
    ("attached", ["-etext=restarted the pooler"], "restarted", "restarted the pooler"),
    ("the long option", ["--extra-vars=text=restarted the pooler"], "restarted", "restarted the pooler"),
    ("with blanks that matter", ["-e", "text=two  blanks"], "two", "two  blanks"),
    ("one word", ["-e", "text=restarted"], "restarted", "restarted"),
    ("quoted for Ansible too", ["-e", "text='restarted the pooler'"], "restarted the pooler", "restarted the pooler"),
    ("as JSON", ["-e", '{"text": "a b=c"}'], "a b=c", "a b=c"),
    ("from a file", ["-e", "@text.yml"], "a b", "a b"),
    ("not typed", [], None, None),
    ("two variables in one option", ["-e", "incident_id=x text='a b'"], "a b", "a b"),
    ("quoted, then another variable", ["-e", "text='a b' incident_id=x"], "a b", "a b"),
]


@pytest.mark.parametrize(("argv", "arrived", "meant"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_a_text_is_what_was_typed(argv: list[str], arrived: str | None, meant: str | None) -> None:
    assert whole_text("text", arrived, ["ansible-playbook", "note.yml", *argv]) == meant


@pytest.mark.parametrize("typed", ["text=retry incident_id=other now", "text=retry size=10", "incident_id=x text=a b"])
def test_a_text_that_sets_other_variables_is_refused(typed: str) -> None:
    with pytest.raises(RecordError, match="became a variable of its own: type -e"):
        whole_text("text", "retry", ["ansible-playbook", "note.yml", "-e", typed])


SLIPS = [
    (["-e", "mitigation=cancel_queued_ddl"], "did you mean -e mitigate="),
    (["-e", "targets=db"], "did you mean -e target="),
    (["-e", "aproval=prompt"], "did you mean -e approval="),
    (["--tags", "diagnoze"], "there is no phase diagnoze; there are: declare, diagnose"),
    (["-t", "diagnose,verfy", "-t", "close"], "there is no phase verfy"),
]


@pytest.mark.parametrize(("argv", "expected"), SLIPS)
def test_a_slip_of_the_hand_is_refused(argv: list[str], expected: str) -> None:
    with pytest.raises(RecordError, match=expected):
        refuse_slips(["ansible-playbook", "a.yml", *argv])


@pytest.mark.parametrize("argv", [
    ["-e", "mitigate=cancel_queued_ddl", "-e", "incident_declare=never", "-e", "token=x", "-e", "@mitigation.yml"],
    ["-e", '{"runbooks_p95_ms_max": 100}', "--tags", "diagnose,mitigate", "-t", "all"],
    ["--bogus"],
])  # fmt: skip
def test_what_is_no_slip_passes(argv: list[str]) -> None:
    refuse_slips(["ansible-playbook", "a.yml", *argv])


def test_the_next_command_keeps_the_incident_and_no_secret() -> None:
    argv = ["ansible-playbook", "a.yml", "-e", "incident_key=k9", "-e", "incident_declare=never token=s", "-e", "@vars.yml",
            "-e", "incident_pagerduty_token=secret", "-e", "reason=old"]  # fmt: skip
    assert next_command(argv, None) == "ansible-playbook a.yml -e incident_key=k9 -e @vars.yml"
    assert left_out(argv)
    assert not left_out(["ansible-playbook", "a.yml", "-e", "incident_key=k9", "-e", "@vars.yml", "-e", "mitigate=x"])
    assert left_out(["ansible-playbook", "a.yml", "-e", '{"token": "secret"}'])


def test_another_playbook_about_the_same_incident() -> None:
    argv = ["ansible-playbook", "playbooks/runbook_db_degradation.yml", "-i", "inv", "-e", "incident_record_root=r", "-e", "x=y"]
    assert companion(argv, "update", "incident_id=db-1", "text=…") == (
        "ansible-playbook playbooks/update.yml -i inv -e incident_record_root=r -e incident_id=db-1 -e 'text=…'"
    )
    assert companion([], "undo", "incident_id=db-1") == "ansible-playbook playbooks/undo.yml -e incident_id=db-1"
