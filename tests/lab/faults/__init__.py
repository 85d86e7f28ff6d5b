"""What can be broken in the lab. A fault is held by real client sessions until ``heal``; it never gives up by itself.

Names, sizes and depths are drawn from a seed, so that a scenario can be played again exactly.
"""

from __future__ import annotations

import signal
import typing as t

from tests.lab.aws import faults as aws
from tests.lab.kubernetes import faults as kubernetes
from tests.lab.postgresql import application, connections, decoys, locks, work
from tests.lab.postgresql.core import REPORTS, Fault, Kind, Session, suffers, superuser
from tests.lab.state import Lab, LabError, end_process, process_start, wait_until

__all__ = ["FAULTS", "REPORTS", "Fault", "Session", "break_it", "heal", "standing", "suffers", "superuser"]
FAULTS: dict[str, Kind] = {
    **kubernetes.FAULTS, **aws.FAULTS, **locks.FAULTS, **connections.FAULTS, **work.FAULTS, **application.FAULTS, **decoys.FAULTS,
}  # fmt: skip
# A fault grows until its users feel it, so it may take its time.
STANDS_WITHIN = 90


def break_it(lab: Lab, name: str, seed: int) -> dict[str, t.Any]:
    """Starts a fault and returns when it stands. Raises LabError for an unknown name or one that stands already."""
    if name not in FAULTS:
        raise LabError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    if lab.read(f"faults/{name}.json"):
        raise LabError(f"{name} stands already: python -m tests.lab heal {name}")
    pid = lab.spawn("tests.lab.faults", name, str(seed))

    def stands() -> bool:
        if process_start(pid) is None:
            raise LabError(f"{name} did not come about:\n{lab.file('log', 'faults.log').read_text()[-1500:]}")
        return lab.read(f"faults/{name}.json") is not None

    wait_until(stands, STANDS_WITHIN, name)
    return t.cast("dict[str, t.Any]", lab.read(f"faults/{name}.json"))


def heal(lab: Lab, name: str) -> None:
    """Ends a fault's process and its sessions; the server then rolls their transactions back."""
    told = lab.read(f"faults/{name}.json")
    if told is None:
        raise LabError(f"{name} does not stand; standing: {', '.join(standing(lab)) or 'nothing'}")
    end_process(told["pid"], signal.SIGKILL)
    pids = [session["pid"] for session in told["sessions"]]
    starts = {session["pid"]: session["backend_start"] for session in told["sessions"]}
    if any(pids):
        _end_sessions(lab, name, starts)
    mend = FAULTS[name].heal
    if mend is not None:
        mend(lab)
    lab.file("faults", f"{name}.json").unlink()


def _end_sessions(lab: Lab, name: str, starts: t.Mapping[int, str]) -> None:
    pids = list(starts)
    with superuser(lab, "postgres") as cursor:
        for database_pid, start in starts.items():
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s",
                (database_pid, start),
            )

        def gone() -> bool:
            cursor.execute("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))
            return not any(starts[row[0]] == row[1] for row in cursor.fetchall())

        wait_until(gone, 10, f"the end of the sessions of {name}")


def standing(lab: Lab) -> list[str]:
    return sorted(path.stem for path in lab.file("faults").glob("*.json"))
