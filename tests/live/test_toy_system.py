"""A kind of system that nobody had thought of: adding it is adding folders, and a runbook over it works from open to undo."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import typing as t

import pytest
import yaml

from tests import harness
from tests.lab.state import PROJECT

BIN = pathlib.Path(sys.executable).parent
SECONDS = 2
# The new folders: two kinds, their roles, and a runbook. Nothing else of the collection is touched.
FILES = {
    "plugins/plugin_utils/_systems/toy/__init__.py": '''
        """A switch: a file that says on or off."""

        from __future__ import annotations

        from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Measured, Ref, RuledOut
        from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System

        FINDING = {
            "severity": "critical", "explains": {"api.failing": "dependents"}, "mitigations": ["switch_on"],
            "summary": "the switch {path} is off", "message": "the switch is off", "meaning": "No current.",
            "action": "Switch it on.",
        }
        SWITCH_ON = {
            "role": "sre.runbooks.toy_act", "identity": ["path"], "effect": "switches it on", "helps": "it is light",
            "hurts": "nobody", "risk": "low",
            "cap": "toy_act_max",
            "each": True, "declarable": True, "undo": "switches it off", "undo_by_hand": "write off into the file",
        }


        def switched_off(facts):
            yield Measured(facts["system"], "the switch", "system")
            if facts["position"] == "off":
                target = {"path": facts["path"], "before": facts["position"]}
                yield Finding("toy.switched_off", "proven", Ref(facts["system"], "switch", facts["path"]),
                              evidence={"path": facts["path"]}, targets={"switch_on": (target,)})
            else:
                yield RuledOut(facts["system"], "toy.switched_off", "the switch is on")


        SYSTEM = System(
            kind="toy", group="role_toy", diagnose=Part("sre.runbooks.toy_look"), verify=Part("sre.runbooks.toy_look"),
            rules=(switched_off,), findings={"toy.switched_off": FINDING}, mitigations={"switch_on": SWITCH_ON},
            numbers=lambda facts: [(f"{facts['system']}: switch", facts["position"])],
        )
    ''',
    "plugins/plugin_utils/_systems/lamp/__init__.py": '''
        """A lamp, which takes its time to be looked at."""

        from __future__ import annotations

        from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System

        SYSTEM = System(kind="lamp", group="role_lamp", diagnose=Part("sre.runbooks.lamp_look"),
                        verify=Part("sre.runbooks.lamp_look"), rules=(), findings={})
    ''',
    "roles/toy_look/tasks/main.yml": """
        - ansible.builtin.wait_for: {timeout: 2}
          delegate_to: localhost
        - ansible.builtin.slurp: {src: "{{ toy_path }}"}
          register: toy_look_file
        - sre.runbooks.incident_facts:
            kind: toy
            data: {path: "{{ toy_path }}", position: "{{ toy_look_file.content | b64decode | trim }}"}
    """,
    "roles/lamp_look/tasks/main.yml": """
        - ansible.builtin.wait_for: {timeout: 2}
          delegate_to: localhost
        - sre.runbooks.incident_facts: {kind: lamp}
    """,
    "roles/toy_act/tasks/main.yml": '- ansible.builtin.include_tasks: "{{ runbooks_step.mitigation }}.yml"\n',
    "roles/toy_act/tasks/undo.yml": '- ansible.builtin.include_tasks: "undo_{{ runbooks_step.mitigation }}.yml"\n',
    "roles/toy_act/tasks/switch_on.yml": """
        - sre.runbooks.incident_effect:
            mitigation: switch_on
            target: "{{ runbooks_step.target }}"
            max: 1
            module: ansible.builtin.lineinfile
            module_args: {path: "{{ runbooks_step.target.path }}", regexp: ".*", line: "on"}
            sentence: "switched {{ runbooks_step.target.path }} on"
    """,
    "roles/toy_act/tasks/undo_switch_on.yml": """
        - sre.runbooks.incident_effect:
            mitigation: switch_on
            undoes: true
            target: "{{ runbooks_step.target }}"
            module: ansible.builtin.lineinfile
            module_args: {path: "{{ runbooks_step.target.path }}", regexp: ".*", line: "{{ runbooks_step.target.before }}"}
            sentence: "switched {{ runbooks_step.target.path }} {{ runbooks_step.target.before }}"
    """,
    "playbooks/runbook_toy.yml": """
        - ansible.builtin.import_playbook: phases/run.yml
          vars: {runbook: toy, runbook_title: It is dark, runbook_severity: P3, runbook_hosts: role_toy}
    """,
    "playbooks/runbook_night.yml": """
        - ansible.builtin.import_playbook: phases/run.yml
          vars:
            runbook: night
            runbook_title: Lights on for the night
            runbook_severity: P4
            runbook_hosts: role_toy
            runbook_disclosure: internal
            runbook_procedure:
              - {mitigation: switch_on, targets: [{path: "{{ toy_switch }}", before: "on"}]}
    """,
}


@pytest.fixture(scope="module")
def collections() -> t.Iterator[pathlib.Path]:
    with harness.mutated() as root:
        for name, text in FILES.items():
            path = root / "ansible_collections/sre/runbooks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        yield root


@pytest.fixture
def switch(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "switch"
    path.write_text("off\n")
    return path


@pytest.fixture
def url(switch: pathlib.Path) -> t.Iterator[str]:
    """What users call: it answers while the switch is on."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if switch.read_text() == "on\n" else 503)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """The test prints nothing."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # with fewer, a connection that is not taken comes again after a second

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def inventory(tmp_path: pathlib.Path, switch: pathlib.Path, url: str) -> pathlib.Path:
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts: t.Any = {
        "front": {"runbooks_health_urls": [url], "runbooks_depends_on": ["lamp1"]},
        "lamp1": {"runbooks_depends_on": ["switch1"]},
        "switch1": {"toy_path": str(switch)},
    }
    groups = {"role_edge": "front", "role_lamp": "lamp1", "role_toy": "switch1"}
    children = {group: {"hosts": {host: hosts[host]}} for group, host in groups.items()}
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {}}, "children": children, "vars": local}}))
    return path


def play(
    collections: pathlib.Path, inventory: pathlib.Path, playbook: str, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The installed playbook, as a user runs it who does not stand in the checkout."""
    values = {"incident_record_root": str(inventory.parent / "incidents"), "recovery_check_within": 8, **variables}
    return subprocess.run(
        [str(BIN / "ansible-playbook"), f"sre.runbooks.{playbook}", "-i", str(inventory), "-e", json.dumps(values), *options],
        cwd=inventory.parent, text=True, capture_output=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
    )  # fmt: skip


def incident(inventory: pathlib.Path) -> pathlib.Path:
    (found,) = (inventory.parent / "incidents").glob("*/incident.json")
    return found.parent


def events(inventory: pathlib.Path) -> list[t.Any]:
    return [json.loads(line) for line in (incident(inventory) / "timeline.jsonl").read_text().splitlines()]


def test_from_open_to_undo(collections: pathlib.Path, inventory: pathlib.Path, switch: pathlib.Path) -> None:
    done = play(collections, inventory, "runbook_toy", mitigate="switch_on")
    assert done.returncode == 0, done.stdout[-3000:]
    assert switch.read_text() == "on\n"
    found = json.loads((incident(inventory) / "cause.json").read_text())
    assert [one["id"] for one in found["findings"] if one["role"] == "cause"] == ["toy.switched_off"], "through the lamp"
    assert json.loads((incident(inventory) / "incident.json").read_text())["state"] == "resolved"
    assert f"DONE     switch_on on switch1: done, switched {switch} on" in harness.rows(done.stdout)
    assert "switch1: switch" in (incident(inventory) / "report.md").read_text()
    back = play(collections, inventory, "undo", incident_id=incident(inventory).name)
    assert back.returncode == 0, back.stdout[-3000:]
    assert switch.read_text() == "off\n"


def test_a_step_that_the_runbook_declares_needs_no_finding(
    collections: pathlib.Path, inventory: pathlib.Path, switch: pathlib.Path
) -> None:
    switch.write_text("on\n")
    shown = play(collections, inventory, "runbook_night", toy_switch=str(switch))
    assert shown.returncode == 0, shown.stdout[-3000:]
    (step,) = [row for row in harness.rows(shown.stdout).splitlines() if row.startswith("STEP")]
    assert "-e mitigate=switch_on" in step
    assert " · internal" in harness.rows(shown.stdout)
    assert [event for event in events(inventory) if event["kind"] == "intent"] == []
    done = play(collections, inventory, "runbook_night", toy_switch=str(switch), mitigate="switch_on")
    assert done.returncode == 0, done.stdout[-3000:]
    assert [event["status"] for event in events(inventory) if event["kind"] == "outcome"] == ["done"]
    assert [event["proven"] for event in events(inventory) if event["kind"] == "verified"][-1] is True


def test_what_was_left_out_or_not_reached_does_not_look_green(collections: pathlib.Path, inventory: pathlib.Path) -> None:
    """A run that never came to its system has nothing to be green about."""
    elsewhere = play(collections, inventory, "runbook_toy", "--limit", "front")
    assert (elsewhere.returncode, "this run has no incident" in elsewhere.stdout) == (2, True)
    left_out = play(collections, inventory, "runbook_toy", "--limit", "localhost,front", mitigate="switch_on")
    assert left_out.returncode == 2
    data = yaml.safe_load(inventory.read_text())
    data["all"]["children"]["role_toy"]["hosts"]["switch1"] |= {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
    }
    assert play(collections, inventory, "runbook_toy", mitigate="switch_on").returncode == 0
    inventory.with_name("switch").write_text("off\n")
    assert play(collections, inventory, "runbook_toy").returncode == 0  # the findings, fresh
    inventory.write_text(yaml.safe_dump(data))
    unreached = play(collections, inventory, "runbook_toy", "--tags", "mitigate", mitigate="switch_on")
    assert (unreached.returncode, "the host was not reached" in harness.rows(unreached.stdout)) == (2, True)


def test_systems_of_different_kinds_are_looked_at_side_by_side(collections: pathlib.Path, inventory: pathlib.Path) -> None:
    """Each look takes two seconds, and both together do not take four."""
    play(collections, inventory, "runbook_toy")
    written = {
        event["of"]: datetime.datetime.fromisoformat(event["at"])
        for event in events(inventory)
        if event["kind"] == "facts" and event["slot"] == "diagnose"
    }
    assert abs((written["toy"] - written["lamp"]).total_seconds()) < SECONDS
