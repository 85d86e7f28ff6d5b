"""``python -m tests.lab.faults LAB NAME SEED``: a fault's own process, which stands until it is ended."""

from __future__ import annotations

import itertools
import pathlib
import signal
import sys

from tests.lab.faults import FAULTS, Fault
from tests.lab.state import Lab


def main() -> None:
    lab, name, seed = Lab("", pathlib.Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    fault = Fault(lab, name, seed, published=True)
    FAULTS[name].begin(fault)
    fault.publish()
    for _ in itertools.count():
        signal.pause()


if __name__ == "__main__":
    main()
