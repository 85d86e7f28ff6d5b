"""``python -m tests.bench.error_rate [PODS] [MIB]``: from the start of the runbook to its verdict, with many pods and large logs.

A hundred pods with 200 MiB of mixed logs together, against a play that does nothing, in one run. What was not read of the logs is
printed too: the runbook has a budget of bytes for all of them.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import statistics
import sys
import time

from tests import harness
from tests.bench.k8s_rollback import playbook, timed
from tests.bench.logs import lines
from tests.lab.kubernetes.api import Api
from tests.lab.kubernetes.faults import DEPLOYMENT, is_available, pods_of
from tests.lab.state import Lab, wait_until

PARTS = ("postgres", "kubernetes", "service")
PODS, MIB, ROUNDS = 100, 200, 3
MORE_SECONDS_AT_MOST = 4.0
RUNBOOK = "playbooks/runbook_error_rate.yml"
LOG_SECONDS = 1200.0


def scale(lab: Lab, pods: int) -> None:
    Api.of(lab).patch(DEPLOYMENT, {"spec": {"replicas": pods}})
    wait_until(lambda: is_available(Api.of(lab).get(DEPLOYMENT)), 120, f"{pods} pods", 0.5)
    folder = lab.file("kubernetes", "logs")
    wait_until(lambda: all((folder / f"{name}.log").exists() for name in pods_of(lab)), 60, "the pods' logs", 0.5)


def fill(lab: Lab, mib: int) -> None:
    """Gives each pod its share of logs, as a container's runtime keeps them."""
    names = pods_of(lab)
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=LOG_SECONDS)
    told = []
    for line in lines((mib << 20) // len(names), since, LOG_SECONDS):
        stamp, _blank, rest = line.partition(" ")
        told.append(f"{stamp} stdout F {rest}")
    share = "".join(told)
    for name in names:
        path = lab.file("kubernetes", "logs") / f"{name}.log"
        path.write_text(share + path.read_text())


def main() -> int:
    pods, mib = (int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, PODS), (2, MIB)))
    with harness.a_lab("bench-error-rate", PARTS) as lab, harness.a_root() as root:
        scale(lab, pods)
        fill(lab, mib)
        nothing = playbook(root, "nothing", {"ansible.builtin.debug": {"msg": "nothing"}})
        empty = statistics.median(timed(lab, nothing) for _round in range(ROUNDS))
        seconds, unread = [], 0
        for number in range(ROUNDS):
            started = time.time()
            told = harness.play(lab, pathlib.Path(root, str(number)), "--tags", "diagnose", playbook=RUNBOOK)
            events = [json.loads(line) for line in (told.folder / "timeline.jsonl").read_text().splitlines()]
            judged = next(event["at"] for event in events if event["kind"] == "judged")
            seconds.append(datetime.datetime.fromisoformat(judged).timestamp() - started)
            unread = sum("only its newest lines" in gap["why"] for gap in told.findings["gaps"])
    more = statistics.median(seconds) - empty
    print(f"{pods} pods with {mib} MiB of logs; {unread} logs were read in part")
    print(f"an empty play {empty:.2f} s, until the verdict {statistics.median(seconds):.2f} s")
    print(f"until the verdict - an empty play: {more:.2f} s (at most {MORE_SECONDS_AT_MOST})")
    return 0 if more <= MORE_SECONDS_AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
