"""``make demo``: a really blocked database, diagnosed, relieved and verified, before the eyes of who runs it.

MITIGATE=none only diagnoses and shows that the fault stands; KEEP=1 leaves the lab running.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

from tests import harness
from tests.lab import faults, observer
from tests.lab.__main__ import up
from tests.lab.state import PROJECT, Lab

WATCH_SECONDS = 60
CHANNELS = {**harness.ALL_CHANNELS, "incident_channels": ["pagerduty", "status_page"]}


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def seen(label: str, look: dict[str, float]) -> None:
    p95 = f"{look['p95_ms']:g} ms"
    print(
        f"   {label:<8} {look['waiters']:>3} sessions wait · p95 {p95:>10} · "
        f"{look['errors']} of {look['requests']} requests failed (observer)",
        flush=True,
    )


def run(lab: Lab, root: pathlib.Path, mitigate: str | None) -> int:
    options = ["-e", f"mitigate={mitigate}"] if mitigate else []
    command = harness.command(lab, root, *options, variables=CHANNELS)
    shown = ["ansible-playbook", harness.RUNBOOK, "-i inventories/lab", *options]
    say(" ".join(shown))
    environment = harness.environment(lab)
    for name in ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_NOCOLOR", "COLUMNS"):  # shown as it is shipped
        environment.pop(name)
    return subprocess.run(command, cwd=PROJECT, env=environment).returncode


def main() -> int:
    mitigate = os.environ.get("MITIGATE", "cancel_queued_ddl")
    chosen = None if mitigate in ("none", "") else mitigate
    lab = Lab.named("demo")
    root = PROJECT / ".lab" / "demo-incidents"
    lab.end()
    shutil.rmtree(root, ignore_errors=True)
    say("starting PostgreSQL, an application with users, PagerDuty and a status page")
    started = time.monotonic()
    up(lab, (), "18", {})
    print(f"   up in {time.monotonic() - started:.1f} s")
    try:
        harness.settle(lab)
        seen("healthy", observer.next_look(lab))
        say("breaking it: a long report, a migration behind it, everybody else behind the migration")
        told = faults.break_it(lab, "queued-ddl", seed=1)
        harness.suffering(lab)
        before = observer.next_look(lab)
        seen("before", before)
        code = run(lab, root, chosen)
        return code or finish(lab, told, root, before, relieved=chosen is not None)
    finally:
        if os.environ.get("KEEP") != "1":
            lab.end()


def finish(lab: Lab, told: dict[str, object], root: pathlib.Path, before: dict[str, float], *, relieved: bool) -> int:
    say("what the observer saw")
    seen("before", before)
    if not relieved:
        print(f"   watching for {WATCH_SECONDS} s whether it goes away by itself ...", flush=True)
        time.sleep(WATCH_SECONDS)
    after = observer.next_look(lab)
    seen("after", after)
    report = harness.of_role(told, "report")[0]
    same = harness.alive(lab, report)
    print(f"   the innocent report, pid {report['pid']} since {report['backend_start']}: {'the same' if same else 'GONE'}")
    newest = max(root.glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    print(f"   read the report: {newest.relative_to(PROJECT)}")
    well = after["waiters"] < 5 and after["p95_ms"] < 500
    return 0 if same and well == relieved else 1


if __name__ == "__main__":
    sys.exit(main())
