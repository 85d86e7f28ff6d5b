"""The database runbook against the lab: what it changes, what it never changes, and how it must end."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import re
import select
import typing as t

import pytest

from tests import harness
from tests.lab import faults, observer
from tests.lab.sim import control
from tests.lab.sim.datadog import MONITOR
from tests.lab.state import PROJECT, Lab, wait_until
from tests.sweep import masked

MITIGATE = ("-e", "mitigate=cancel_queued_ddl")
FAST = {"recovery_check_timeout": 1.0, "recovery_check_within": 10.0}
LOUD = {**harness.ALL_CHANNELS, **FAST}


def broken(lab: Lab, fault: str = "queued-ddl") -> dict[str, t.Any]:
    told = faults.break_it(lab, fault, seed=1)
    harness.suffering(lab)
    return told


def test_looking_changes_nothing_acting_relieves_and_a_third_run_does_nothing(lab: Lab, root: pathlib.Path) -> None:
    told = broken(lab)
    report, ddl = harness.of_role(told, "report")[0], harness.of_role(told, "ddl")[0]
    before = harness.sessions(lab)

    looked = harness.play(lab, root, variables={**LOUD, "incident_declare": "never"})
    assert looked.code == 0, looked.output
    assert looked.line("CAUSE").startswith(f"CAUSE    db.queued_ddl (proven)  ALTER TABLE on custody_keys, pid {ddl['pid']}")
    assert [(one["id"], one["subject"]["key"]) for one in looked.causes] == [("db.queued_ddl", str(ddl["pid"]))]
    assert harness.sessions(lab) == before
    assert [control.journal(lab, vendor) for vendor in harness.VENDORS] == [[], [], []]

    acted = harness.play(lab, root, *MITIGATE, variables=LOUD)
    assert acted.code == 0, acted.output
    assert "recovered, proven" in acted.output
    assert harness.alive(lab, report)
    assert harness.alive(lab, ddl), "its session stays, only the statement is cancelled"
    after = observer.next_look(lab)
    assert (after["waiters"], after["errors"]) == (0, 0)
    assert (acted.folder / "report.html").exists()

    sent, now = harness.writes(lab), harness.sessions(lab)
    third = harness.play(lab, root, *MITIGATE, variables=LOUD)
    assert third.code == 0, third.output
    assert harness.writes(lab) == sent
    assert harness.sessions(lab) == now


NO_OP = ("plugins/module_utils/_postgresql/backend.py", "        server.signal(signal, backend)\n    cancelled = [",
         "        pass\n    cancelled = [] and [")  # fmt: skip


def test_a_mitigation_that_does_nothing_is_not_called_a_recovery(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    with harness.mutated(no_op=NO_OP) as collections:
        played = harness.play(
            lab, root, *MITIGATE, variables=LOUD, playbook="sre.runbooks.runbook_db_degradation", collections=collections
        )
    assert played.code != 0
    assert "not recovered: cancel_queued_ddl was carried out, but" in played.output
    assert played.incident["state"] == "open"
    assert [one["status"] for one in control.state(lab, "statuspage")["incidents"]] == ["monitoring"]
    assert [one["status"] for one in control.state(lab, "pagerduty")["incidents"]] == ["triggered"]


NO_RULE = (
    "plugins/plugin_utils/_systems/postgresql/locks.py",
    "    queued_ddl,\n    blocking_transaction,\n",
    "    blocking_transaction,\n",
)


def test_without_its_rule_the_cause_is_unproven_and_nothing_is_offered(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    with harness.mutated(no_rule=NO_RULE) as collections:
        played = harness.play(
            lab, root, *MITIGATE, variables=LOUD, playbook="sre.runbooks.runbook_db_degradation", collections=collections
        )
    assert played.code != 0
    assert (played.findings["verdict"], played.findings["offers"]) == ("unproven", [])
    assert "cancel_queued_ddl was refused: the verdict is unproven" in played.output
    assert observer.next_look(lab)["waiters"] > 40


def planned(output: str) -> list[str]:
    """The requests that check mode showed: vendor, method, path, body; masked."""
    shown = re.findall(r"would send (\w+) (POST|PUT|PATCH|MAIL) (\S+) (\{.*\})", output)
    found = []
    for vendor, method, path, text in shown:
        body = json.loads(text)
        if method == "MAIL":
            found.append(masked(["mail", {name: body[name] for name in ("subject", "to")}, body["body"].strip()]))
        else:
            found.append(masked([{"status_page": "statuspage"}.get(vendor, vendor), method, path, body]))
    return found


def received(lab: Lab) -> list[str]:
    found = []
    for one in harness.writes(lab):
        body = one["body"]
        if one["vendor"] == "mail":
            text = body["text"].replace("\r\n", "\n").strip()
            found.append(masked(["mail", {name: body[name] for name in ("subject", "to")}, text]))
        else:
            found.append(masked([one["vendor"], one["method"], one["path"], body]))
    return [text.replace("/incidents/ID", "/incidents/{id}") for text in found]


def by_vendor(requests: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for request in requests:
        found.setdefault(json.loads(request)[0], []).append(request)
    return found


def test_check_mode_shows_what_the_real_run_then_does(lab: Lab, root: pathlib.Path) -> None:
    told = broken(lab)
    before = harness.sessions(lab)
    checked = harness.play(lab, root, *MITIGATE, "--check", "--diff", variables=LOUD)
    assert checked.code == 0, checked.output
    assert harness.writes(lab) == []
    assert harness.sessions(lab) == before
    assert list(root.glob("*")) == []

    # The channels are told side by side, so that only the order within each is certain.
    played = harness.play(lab, root, *MITIGATE, variables=LOUD)
    assert played.code == 0, played.output
    finding = r"CAUSE +(\S+ \(proven\)  ALTER TABLE on custody_keys, pid \d+)"
    assert re.findall(finding, checked.output) == re.findall(finding, played.output) != []
    assert by_vendor(planned(checked.output)) == by_vendor(received(lab)) != {}
    signal = f"cancel pid {harness.of_role(told, 'ddl')[0]['pid']}"
    assert f"+{signal}" in checked.output
    assert signal in played.line("DONE")


def test_the_second_of_two_runs_does_nothing(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    control.set_faults(lab, "pagerduty", {"write": 1, "kind": "slow", "seconds": 6.0})
    first = harness.start(lab, root, *MITIGATE, output=root / "first", variables=LOUD)
    wait_until(lambda: bool(list(root.glob("*/lock.json"))), 10, "the first run's lock")
    wait_until(lambda: len(control.journal(lab, "pagerduty")) >= 3, 10, "the first run's first requests")
    # Whatever the second run asked anybody for would show: with these it would be refused.
    strangers = {"incident_pagerduty_token": "second", "incident_status_page_token": "second",
                 "runbooks_db_monitor_user": "second", "runbooks_db_mitigation_user": "second"}  # fmt: skip
    second = harness.play(lab, root, *MITIGATE, variables={**LOUD, **strangers})
    assert second.code != 0
    assert "another run works on this incident" in second.output
    assert first.wait(timeout=60) == 0, (root / "first").read_text()
    assert [entry for vendor in harness.VENDORS for entry in control.journal(lab, vendor) if entry["status"] == 401] == []
    assert '"second"' not in lab.file("postgresql.log").read_text()


def test_more_than_the_cap_is_not_touched(lab: Lab, root: pathlib.Path) -> None:
    told = broken(lab, "blocking")
    variables = {**FAST, "db_mitigation_terminate_max": 0}
    played = harness.play(lab, root, "-e", "mitigate=terminate_blockers", variables=variables)
    assert played.code != 0
    assert "max is 0: nothing was touched" in played.output
    assert harness.alive(lab, harness.of_role(told, "holder")[0])


def test_a_wrong_key_stops_no_mitigation_and_loses_no_update(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    played = harness.play(lab, root, *MITIGATE, variables={**LOUD, "incident_pagerduty_token": "wrong"})
    assert played.code != 0
    assert (
        "unsent: pagerduty:declared, pagerduty:responders, pagerduty:identified, pagerduty:status_update:identified"
        in played.output
    )
    assert "HTTP 401: Unauthorized; Invalid authentication" in played.output
    assert "recovered, proven" in played.output
    again = harness.play(lab, root, variables=LOUD)
    assert again.code == 0, again.output
    (incident,) = control.state(lab, "pagerduty")["incidents"]
    assert (incident["status"], len(control.state(lab, "pagerduty")["notes"][incident["id"]])) == ("resolved", 3)


def test_an_unknown_service_is_said_with_those_there_are(lab: Lab, root: pathlib.Path) -> None:
    played = harness.play(lab, root, variables={**LOUD, "incident_pagerduty_service": "Nope"})
    assert "'Nope' is not among the account's services: API, Custody database" in played.output


def test_an_unknown_component_is_said_with_those_there_are(lab: Lab, root: pathlib.Path) -> None:
    played = harness.play(lab, root, variables={**LOUD, "incident_status_page_components": ["Nope"]})
    assert "the page has no component Nope; it has: Analytics API, Auth service, Custody API" in played.output


def test_an_incident_that_the_alert_has_opened_is_adopted(lab: Lab, root: pathlib.Path) -> None:
    theirs = {"type": "incident", "title": "From the alert", "incident_key": "db_degradation/lab-db",
              "service": {"id": "PSVC001", "type": "service_reference"}}  # fmt: skip
    api(lab, "POST", "/incidents", {"incident": theirs})
    broken(lab)
    played = harness.play(lab, root, *MITIGATE, variables=LOUD)
    assert played.code == 0, played.output
    (incident,) = control.state(lab, "pagerduty")["incidents"]
    assert (incident["title"], incident["status"]) == ("From the alert", "triggered")
    assert "Recovered" in control.state(lab, "pagerduty")["notes"][incident["id"]][-1]["content"]


def api(lab: Lab, method: str, path: str, body: dict[str, t.Any]) -> None:
    """A request to the pager as somebody else would make it."""
    import urllib.request

    part = lab.part("pagerduty")
    headers = {"Authorization": f"Token token={part['key']}", "From": "oncall@example.org", "Content-Type": "application/json"}
    request = urllib.request.Request(part["url"] + path, json.dumps(body).encode(), headers, method=method)
    urllib.request.urlopen(request, timeout=5).close()


def secrets(lab: Lab) -> list[str]:
    keys = [lab.part(vendor)["key"] for vendor in (*harness.VENDORS, "datadog")]
    return [*lab.part("postgres")["passwords"].values(), *keys, lab.part("datadog")["application_key"]]


def test_no_secret_is_in_any_output_or_record(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    everything = {**LOUD, "runbooks_datadog_monitors": [MONITOR], "db_diagnostics_query_text": True}
    played = harness.play(lab, root, *MITIGATE, "-vvv", "--diff", variables=everything)
    assert played.code == 0, played.output[-2000:]
    texts = [played.output, *(path.read_text() for path in root.rglob("*") if path.is_file())]
    assert [secret for secret in secrets(lab) if any(secret in text for text in texts)] == []


LOUDEST = [
    {"ANSIBLE_DEBUG": "1"},
    {"ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1"},
    {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1"},
    {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
]


@pytest.mark.parametrize("env", LOUDEST, ids=["debug", "arguments", "minimal", "json"])
def test_no_secret_is_in_the_loudest_output_of_a_run_that_fails(lab: Lab, root: pathlib.Path, env: dict[str, str]) -> None:
    """A key that was read with the newline of its file, a vendor that sends back what it got, a login that is refused."""
    broken(lab)
    keys = {"incident_pagerduty_token": lab.part("pagerduty")["key"] + "\n", "incident_status_page_token": "wr0ng-k3y-" * 3}
    wrong = {"incident_mail_password": "wr0ng-p4ss-" * 3, "runbooks_datadog_api_key": "wr0ng-d4t4-" * 3,
             "runbooks_db_mitigation_password": "wr0ng-db-p4ss"}  # fmt: skip
    everything = {**LOUD, **keys, **wrong, "runbooks_datadog_monitors": [MONITOR], "recovery_check_within": 2.0}
    played = harness.play(lab, root, *MITIGATE, "-vvv", variables=everything, env=env)
    assert played.code != 0
    # What was typed with -e stands in the command, which Ansible shows; the record and everything else must not have it.
    output = "\n".join(line for line in played.output.splitlines() if "incident_record_root" not in line)
    texts = [output, *(path.read_text() for path in root.rglob("*") if path.is_file())]
    hidden = [*secrets(lab), *(value.strip() for value in {**keys, **wrong}.values())]
    assert [secret for secret in hidden if any(secret in text for text in texts)] == []


@pytest.mark.parametrize("tag", ["declare", "diagnose", "mitigate", "verify", "close"])
def test_each_tag_alone_ends_with_the_screen(lab: Lab, root: pathlib.Path, tag: str) -> None:
    played = harness.play(lab, root, "--tags", tag, variables=FAST)
    assert played.code == 0, played.output
    assert played.line("INCIDENT")
    assert played.line("HEALTHY" if tag == "diagnose" else "VERDICT" if tag != "verify" else "FIXED")


def test_mitigate_alone_acts_on_fresh_findings_and_says_that_it_is_not_verified(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    refused = harness.play(lab, root, *MITIGATE, "--tags", "mitigate", variables=FAST)
    assert refused.code != 0
    assert "no fresh findings to act on" in refused.output
    assert harness.play(lab, root, "--tags", "diagnose", variables=FAST).code == 0
    acted = harness.play(lab, root, *MITIGATE, "--tags", "mitigate", variables=FAST)
    assert acted.code != 0
    assert "was carried out, but it was not verified in this run" in acted.output
    proved = harness.play(lab, root, "--tags", "verify,close", variables=FAST)
    assert proved.code == 0, proved.output
    assert proved.incident["state"] == "resolved"


def test_undo_says_what_was_done_and_what_to_do_by_hand(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    played = harness.play(lab, root, *MITIGATE, variables=FAST)
    undo = {"playbook": "playbooks/undo.yml", "variables": {"incident_id": played.incident["id"]}}
    undone = harness.play(lab, root, **undo)
    assert undone.code == 0, undone.output
    assert "cancel_queued_ddl on lab-db" in undone.output
    assert "cannot be undone; run the migration again" in undone.output
    for wrong in ("../../etc", "nope", "", "db_degradation-x-20261124T0214Z"):
        refused = harness.play(lab, root, playbook="playbooks/undo.yml", variables={"incident_id": wrong})
        assert refused.code != 0
        assert re.search("is not an incident's id|there is no incident|which incident", refused.output)


def test_without_a_terminal_a_prompt_means_no(lab: Lab, root: pathlib.Path) -> None:
    told = broken(lab)
    played = harness.play(lab, root, *MITIGATE, "-e", "approval=prompt", variables=FAST)
    assert played.code != 0
    assert "cancel_queued_ddl was not approved (nobody answered), so nothing was touched" in played.output
    assert lab.read("faults/queued-ddl.json")["ended"] == []
    assert harness.alive(lab, harness.of_role(told, "ddl")[0])


def typed(lab: Lab, root: pathlib.Path, word: str, *options: str) -> tuple[int, str]:
    """A run at a terminal, where somebody types a word at the prompt. Returns its exit code and output."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(PROJECT)
        command = harness.command(lab, root, *options, variables=FAST)
        os.execve(command[0], command, harness.environment(lab))
    output = b""
    with contextlib.suppress(OSError):  # a terminal whose other side has ended reads as an error
        while True:
            if select.select([terminal], [], [], 1.0)[0]:
                output += os.read(terminal, 4096)
            elif b"to go on (120 s): " in output[-200:]:
                # Ansible throws away what was typed before it listens, so the word comes after a moment of silence.
                os.write(terminal, word.encode() + b"\r")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.decode()


@pytest.mark.parametrize(("word", "approved"), [("yes", False), ("cancel_queued_ddl", True)])
def test_only_the_typed_word_approves(lab: Lab, root: pathlib.Path, word: str, approved: bool) -> None:
    broken(lab)
    code, output = typed(lab, root, word, *MITIGATE, "-e", "approval=prompt")
    assert (code == 0) is approved, output
    assert (len(lab.read("faults/queued-ddl.json")["ended"]) > 0) is approved
    assert ("the answer was 'yes'" in output) is not approved


def test_the_runbook_runs_by_its_name_from_the_checkout(lab: Lab, root: pathlib.Path) -> None:
    played = harness.play(lab, root, playbook="sre.runbooks.runbook_db_degradation", variables=FAST)
    assert played.code == 0, played.output
    assert played.line("HEALTHY")


def test_a_note_of_a_person_is_in_the_timeline_and_the_report(lab: Lab, root: pathlib.Path) -> None:
    identity = harness.play(lab, root, variables={**FAST, "incident_declare": "at_once"}).incident["id"]
    text = "restarted the pooler {{ 7 * 7 }}"
    noted = harness.play(lab, root, playbook="playbooks/note.yml", variables={"incident_id": identity, "text": text})
    assert noted.code == 0, noted.output
    assert harness.play(lab, root, playbook="playbooks/note.yml", variables={"incident_id": identity}).code != 0
    typed = harness.play(lab, root, "-e", f"incident_id={identity}", "-e", "text=as the page says", playbook="playbooks/note.yml")
    assert f"noted in {identity}: as the page says" in typed.output
    harness.play(lab, root, variables=FAST)
    assert text in (noted.folder / "report.html").read_text()
    assert text in (noted.folder / "timeline.jsonl").read_text()


def test_a_person_s_update_reaches_everybody_and_the_screen_says_when_the_next_is_due(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    looked = harness.play(lab, root, variables=LOUD)
    assert looked.code == 0, looked.output
    assert "next update due at" in looked.output
    text = "The vendor is on the line {{ 7 * 7 }}"
    words = {"incident_id": looked.incident["id"], "text": text}
    before = harness.writes(lab)

    checked = harness.play(lab, root, "--check", playbook="playbooks/update.yml", variables={**LOUD, **words})
    assert checked.code == 0, checked.output
    assert text in checked.output
    assert harness.writes(lab) == before

    told = harness.play(lab, root, playbook="playbooks/update.yml", variables={**LOUD, **words})
    assert told.code == 0, told.output
    (page,) = control.state(lab, "statuspage")["incidents"]
    assert (page["incident_updates"][0]["body"], page["status"]) == (text, "identified")
    (pager,) = control.state(lab, "pagerduty")["incidents"]
    assert control.state(lab, "pagerduty")["notes"][pager["id"]][-1]["content"].startswith(text)

    nobody = harness.play(lab, root, playbook="playbooks/update.yml", variables=words)
    assert nobody.code != 0
    assert "all channels are off" in nobody.output
    wordless = harness.play(lab, root, playbook="playbooks/update.yml", variables={**LOUD, **words, "text": " "})
    assert wordless.code != 0
    assert "there is no text" in wordless.output


def test_what_comes_back_at_once_is_not_called_resolved(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    assert harness.play(lab, root, "-e", "mitigate=cancel_queued_ddl", variables=LOUD).incident["state"] == "resolved"
    faults.heal(lab, "queued-ddl")
    broken(lab)
    again = harness.play(lab, root, variables=LOUD)
    assert (again.incident["state"], again.incident["epoch"]) == ("open", 1)
    (page,) = control.state(lab, "statuspage")["incidents"]
    assert page["status"] == "identified"
    assert "not proven: what was proven before does not hold any more" in (again.folder / "report.md").read_text()


def test_an_overdue_update_is_said(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    assert "next update due" in harness.play(lab, root, variables=LOUD).output
    again = harness.play(lab, root, variables={**LOUD, "incident_update_minutes": 0.01})
    assert "OVERDUE: the next update was due at" in again.output


def test_what_loses_data_asks_for_a_typed_word(lab: Lab, root: pathlib.Path) -> None:
    broken(lab, "prepared-orphan")
    variables = {**FAST, "db_mitigation_rollback_older_than": 0}
    asked = harness.play(lab, root, "-e", "mitigate=rollback_prepared", variables=variables)
    assert asked.code != 0
    assert "rollback_prepared was not approved (nobody answered), so nothing was touched" in asked.output
    assert "-e approval=auto (risk high)" in asked.output
    young = harness.play(lab, root, "-e", "mitigate=rollback_prepared", "-e", "approval=auto", variables=FAST)
    assert young.code != 0
    assert "may still be finished by its transaction manager" in young.output


def test_an_incident_that_nobody_acknowledges_goes_to_the_next_level_once(lab: Lab, root: pathlib.Path) -> None:
    broken(lab)
    variables = {**LOUD, "incident_pagerduty_escalate_after": 0.001}
    for _ in range(2):
        assert harness.play(lab, root, variables=variables).code == 0
    levels = [one["escalation_level"] for one in control.state(lab, "pagerduty")["told"] if "escalation_level" in one]
    assert levels == [2]
