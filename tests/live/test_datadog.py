"""Datadog beside the runbook: it lags behind what users see, and its absence stops nothing."""

from __future__ import annotations

import pathlib
import time

from tests import harness
from tests.lab import faults
from tests.lab.sim import control
from tests.lab.sim.datadog import MONITOR
from tests.lab.state import Lab, wait_until
from tests.live.test_runbook import FAST

WATCHED = {**FAST, "runbooks_datadog_monitors": [MONITOR], "incident_declare": "never"}


def state(lab: Lab) -> str:
    return str(control.state(lab, "datadog")["monitor"])


def test_a_monitor_that_lags_is_told_and_proves_nothing(lab: Lab, root: pathlib.Path) -> None:
    faults.break_it(lab, "queued-ddl", seed=1)
    harness.suffering(lab)
    wait_until(lambda: state(lab) == "Alert", 60, "the monitor's alert", 0.2)
    control.set_faults(lab, "datadog", {"kind": "stuck", "since": time.time()})
    faults.heal(lab, "queued-ddl")
    wait_until(lambda: not faults.suffers(lab), 20, "the users' recovery", 0.2)
    played = harness.play(lab, root, variables=WATCHED)
    assert played.code == 0, played.output
    assert played.line("HEALTHY")
    assert "api.monitor_alerting" in {one["id"] for one in played.findings["findings"]}
    control.set_faults(lab, "datadog")
    wait_until(lambda: state(lab) == "OK", 60, "the monitor's end", 0.2)


def test_without_datadog_the_verdict_is_the_same_and_the_gap_is_named(lab: Lab, root: pathlib.Path) -> None:
    played = harness.play(lab, root, variables={**WATCHED, "runbooks_datadog_api_key": "wrong"})
    assert played.code == 0, played.output
    assert played.line("HEALTHY")
    assert "Datadog: GET" in played.output
    assert "HTTP 403: Forbidden" in played.output
