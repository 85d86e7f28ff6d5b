"""The lab's witness: with a connection of its own, it writes waiters, p95 and errors every second.

The demo's and the tests' before and after come from its lines, never from the runbook under test.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import threading
import time
import typing as t

import psycopg2

from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab, LabError, serve_until_told, wait_until

WAITERS = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FROM pg_stat_activity
WHERE datname = 'custody_db' AND pid <> pg_backend_pid()
"""


def look(connection: psycopg2.extensions.connection, lab: Lab) -> dict[str, t.Any]:
    with connection.cursor() as cursor:
        cursor.execute(WAITERS)
        row = cursor.fetchone() or (None, None)
    load = lab.read("load.json") or {}
    return {"at": time.time(), "waiters": row[0], "sessions": row[1], "requests": load.get("requests", 0),
            "p95_ms": load.get("p95_ms", -1), "errors": load.get("errors", 0)}  # fmt: skip


def watch(lab: Lab) -> None:
    connection = psycopg2.connect(dsn(lab, "postgres", application="observer"))
    connection.autocommit = True
    with contextlib.closing(connection), lab.file("observer.jsonl").open("a") as output:
        while True:
            output.write(json.dumps(look(connection, lab)) + "\n")
            output.flush()
            time.sleep(1.0)


def last(lab: Lab) -> dict[str, t.Any]:
    """The newest line of the observer. Raises LabError when there is none."""
    lines = lab.file("observer.jsonl").read_text().splitlines() if lab.file("observer.jsonl").exists() else []
    if not lines:
        raise LabError("the observer has written nothing yet")
    return t.cast("dict[str, t.Any]", json.loads(lines[-1]))


def since(lab: Lab, at: float) -> list[dict[str, t.Any]]:
    """The observer's lines from a time on (seconds since the epoch); none in a lab without one."""
    if not lab.file("observer.jsonl").exists():
        return []
    looks = [json.loads(line) for line in lab.file("observer.jsonl").read_text().splitlines()]
    return [one for one in looks if one["at"] >= at]


def next_look(lab: Lab) -> dict[str, t.Any]:
    """A line that the observer writes after this call."""
    since = time.time()
    wait_until(lambda: lab.file("observer.jsonl").exists() and last(lab)["at"] > since, 5, "a look of the observer")
    return last(lab)


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    threading.Thread(target=watch, args=(lab,), daemon=True).start()
    serve_until_told(lab, "observer", {})


if __name__ == "__main__":
    main()
