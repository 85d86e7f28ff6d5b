"""Where a lab keeps its state, and how its processes are started, found and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MARKER = "SRE_RUNBOOKS_LAB"


class LabError(Exception):
    """The lab cannot do what was asked; the message says why and what to do."""


def wait_until(condition: t.Callable[[], bool], seconds: float, what: str, interval: float = 0.02) -> None:
    """Waits for a condition. Raises LabError naming ``what`` when the seconds are over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {seconds:g} s")
        time.sleep(interval)


def process_start(pid: int) -> str | None:
    """The start time of a live process as /proc tells it (clock ticks since boot), None when it is gone or a zombie."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def end_process(pid: int, sig: int = signal.SIGTERM, seconds: float = 5.0) -> None:
    """Ends a process: the signal, and SIGKILL when it is still there after the seconds."""
    for number in (sig, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(LabError):
            wait_until(lambda: process_start(pid) is None, seconds, f"the end of process {pid}")
            return


@dataclasses.dataclass(frozen=True)
class Lab:
    """One lab: a name, and the folder that holds everything it writes."""

    name: str
    root: pathlib.Path

    @classmethod
    def named(cls, name: str | None = None) -> Lab:
        chosen = name or os.environ.get("LAB", "default")
        return cls(chosen, pathlib.Path(os.environ.get("LAB_ROOT", PROJECT / ".lab")) / chosen)

    def file(self, *parts: str) -> pathlib.Path:
        return self.root.joinpath(*parts)

    def write(self, name: str, value: t.Any) -> None:
        """Writes one JSON file whole or not at all."""
        path = self.file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(value, indent=1))
        partial.replace(path)

    def read(self, name: str) -> t.Any:
        """One JSON file's value, None when it is not there."""
        try:
            return json.loads(self.file(name).read_text())
        except FileNotFoundError:
            return None

    def part(self, name: str) -> dict[str, t.Any]:
        """What a part told when it became ready. Raises LabError when it is not running."""
        told = self.read(f"ready/{name}.json")
        if told is None:
            raise LabError(f"the lab's part {name!r} is not running: python -m tests.lab up {name}")
        return t.cast("dict[str, t.Any]", told)

    def parts(self) -> list[str]:
        return sorted(path.stem for path in self.file("ready").glob("*.json"))

    def spawn(self, module: str, *arguments: str) -> int:
        """Starts ``python -m module lab arguments`` in a session of its own; its output goes to a log file."""
        log = self.file("log", f"{module.rpartition('.')[2]}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, **{MARKER: str(self.root), "PYTHONPATH": str(PROJECT)})
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", module, str(self.root), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, env=environment, cwd=PROJECT,
            )  # fmt: skip
        return child.pid

    def start_part(self, name: str, module: str, *arguments: str, seconds: float = 15.0) -> dict[str, t.Any]:
        """Spawns a part and waits until it has written its ready file."""
        pid = self.spawn(module, *arguments)

        def ready() -> bool:
            if process_start(pid) is None:
                tail = self.file("log", f"{module.rpartition('.')[2]}.log").read_text()[-1500:]
                raise LabError(f"{name} ended before it was ready:\n{tail}")
            return (self.read(f"ready/{name}.json") or {}).get("pid") == pid

        wait_until(ready, seconds, f"the start of {name}")
        return self.part(name)

    def own_processes(self) -> list[int]:
        """Pids of all processes that carry this lab's marker in their environment."""
        wanted = f"{MARKER}={self.root}".encode()
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(folder.name) != os.getpid() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def end(self) -> None:
        """Ends every process of this lab and removes every file of it."""
        for pid in self.own_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for postmaster in self.root.glob("pgdata*/postmaster.pid"):
            end_process(int(postmaster.read_text().split()[0]), signal.SIGQUIT)
        for pid in self.own_processes():
            end_process(pid)
        shutil.rmtree(self.root, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.root.parent.rmdir()


def serve_until_told(lab: Lab, name: str, told: dict[str, t.Any]) -> None:
    """Says that a part is ready, then sleeps until SIGTERM; called by a part's main thread."""
    stop = False

    def on_term(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lab.write(f"ready/{name}.json", {"pid": os.getpid(), **told})
    while not stop:
        time.sleep(0.05)
    lab.file(f"ready/{name}.json").unlink(missing_ok=True)
