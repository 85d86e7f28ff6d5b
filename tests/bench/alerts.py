"""``python -m tests.bench.alerts``: 200 alerts at once, each a run of its own, in a folder with 10,000 old incidents.

One incident may come of it, and no alert may be refused.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import time

from tests import harness
from tests.lab import faults

DECLARED = {**harness.ALL_CHANNELS, "recovery_check_within": 5.0}


def old_incidents(root: pathlib.Path, number: int) -> None:
    """What a root holds after years."""
    for one in range(number):
        folder = root / f"db_degradation-db{one}-20250101T0000Z"
        folder.mkdir(parents=True)
        told = {"id": folder.name, "key": f"db_degradation/db{one}", "state": "closed", "opened_at": "2025-01-01T00:00:00.000Z"}
        (folder / "incident.json").write_text(json.dumps(told))


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.bench.alerts", description=__doc__)
    options.add_argument("--alerts", type=int, default=200)
    options.add_argument("--old", type=int, default=10000)
    asked = options.parse_args()
    with harness.a_lab("alerts") as lab, harness.a_root() as folder:
        root, alert = folder / "incidents", folder / "alert"
        old_incidents(root, asked.old)
        alert.write_text("CRITICAL: p95 of the API is over 500 ms")
        harness.settle(lab)
        faults.break_it(lab, "queued-ddl", seed=1)
        harness.suffering(lab)
        started = time.monotonic()
        variables = {**DECLARED, "incident_alert_file": str(alert)}
        runs: list[tuple[subprocess.Popen[bytes], pathlib.Path]] = []
        for number in range(asked.alerts):
            output = folder / f"output-{number}"
            runs.append((harness.start(lab, root, output=output, variables=variables), output))
        codes = collections.Counter(process.wait() for process, _output in runs)
        seconds = time.monotonic() - started
        incidents = [path for path in root.iterdir() if path.name.startswith("db_degradation-lab-db-")]
        lines = [line for path in incidents for line in (path / "timeline.jsonl").read_text().splitlines()]
        seen = sum(json.loads(line)["kind"] == "run_started" for line in lines)
        noted = sum(bool(json.loads(line).get("alert")) for line in lines)
        refused = [path.read_text()[-600:] for process, path in runs if process.returncode]
        harness.heal_all(lab)
    print(f"{asked.alerts} alerts within {seconds:.0f} s, {asked.old} old incidents")
    print(f"incidents: {len(incidents)}; runs: {seen}; noted in a run at work: {noted}; exit codes: {dict(codes)}")
    for text in refused[:3]:
        print(text)
    return int(len(incidents) != 1 or seen + noted != asked.alerts or bool(refused))


if __name__ == "__main__":
    sys.exit(main())
