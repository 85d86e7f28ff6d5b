"""make trainee: it breaks, waits for the engineer, and tells what it was."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from tests import harness
from tests.lab.state import PROJECT, Lab, wait_until


def test_the_exercise_ends_when_users_are_well_and_tells_what_it_was(root: pathlib.Path) -> None:
    lab = Lab.named("trainee")
    output = root / "trainee"
    with output.open("wb") as handle:
        trainee = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.trainee"], cwd=PROJECT, stdout=handle, stderr=handle,
            env={**os.environ, "FAULT": "queued-ddl", "GIVE_UP": "3"},
        )  # fmt: skip
    wait_until(lambda: "You are on call" in output.read_text(), 60, "the alarm")
    assert "queued-ddl" not in output.read_text()
    played = harness.play(lab, root, "-e", "mitigate=cancel_queued_ddl")
    assert played.code == 0, played.output
    assert trainee.wait(timeout=60) == 0, output.read_text()
    assert "it was queued-ddl: A migration queues behind a long report" in output.read_text()
