"""``python -m tests.scenarios.prepare NAME``: starts the lab named by $LAB and breaks it as a scenario says (Molecule)."""

from __future__ import annotations

import sys

from tests import harness
from tests.lab.__main__ import up
from tests.lab.state import Lab
from tests.scenarios.runner import GROUNDS, break_all, scenarios


def main() -> int:
    lab = Lab.named()
    (scenario,) = [one for one in scenarios() if one.name == sys.argv[1]]
    up(lab, GROUNDS[scenario.runbook].parts, "18", {})
    harness.settle(lab)
    told = break_all(lab, scenario, seed=1)
    lab.write("scenario.json", told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
