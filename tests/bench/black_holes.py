"""``python -m tests.bench.black_holes``: how long the verdict takes where no vendor answers, beside a good run.

PagerDuty, the status page, the mail server and Datadog are one server that takes connections and says nothing.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
import sys
import threading
import time
import typing as t

from tests import harness
from tests.lab import faults
from tests.lab.sim.datadog import MONITOR
from tests.lab.state import Lab

MOST_SECONDS_MORE = 5.0
TOLD = {**harness.ALL_CHANNELS, "runbooks_datadog_monitors": [MONITOR]}


@contextlib.contextmanager
def black_hole() -> t.Iterator[int]:
    """A port where connections are taken and nothing is said."""
    kept: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                kept.append(listening.accept()[0])

    threading.Thread(target=take, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.close()
        for connection in kept:
            connection.close()


def timed(lab: Lab, variables: dict[str, t.Any]) -> tuple[float, float]:
    """The seconds until the verdict is on the screen, and until the run has ended."""
    with harness.a_root() as root:
        output = root / "output"
        started = time.monotonic()
        process = harness.start(lab, root / "incidents", output=output, variables=variables)
        verdict = None
        while process.poll() is None:
            if verdict is None and "  verdict   " in output.read_text():
                verdict = time.monotonic() - started
            time.sleep(0.02)
        ended = time.monotonic() - started
        if verdict is None:
            raise SystemExit(f"no verdict came:\n{pathlib.Path(output).read_text()[-2000:]}")
        return verdict, ended


def main() -> int:
    with harness.a_lab("black-holes") as lab, black_hole() as port:
        url = f"http://127.0.0.1:{port}"
        holes = {
            "incident_pagerduty_url": url, "incident_status_page_url": url, "incident_mail_host": "127.0.0.1",
            "incident_mail_port": port, "runbooks_datadog_url": url,
        }  # fmt: skip
        harness.settle(lab)
        faults.break_it(lab, "queued-ddl", seed=1)
        harness.suffering(lab)
        timed(lab, TOLD)  # what is read for the first time takes longer
        good, good_end = timed(lab, TOLD)
        holed, holed_end = timed(lab, {**TOLD, **holes})
        harness.heal_all(lab)
    print(f"every vendor answers: the verdict after {good:.1f} s, the screen after {good_end:.1f} s")
    print(f"no vendor answers:    the verdict after {holed:.1f} s, the screen after {holed_end:.1f} s")
    print(f"{holed - good:+.1f} s until the verdict (at most {MOST_SECONDS_MORE:+g} s)")
    return int(holed - good > MOST_SECONDS_MORE)


if __name__ == "__main__":
    sys.exit(main())
