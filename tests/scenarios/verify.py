"""``python -m tests.scenarios.verify NAME``: judges the record that a Molecule run left in the lab named by $LAB."""

from __future__ import annotations

import sys

from tests import harness
from tests.lab.state import Lab
from tests.scenarios.runner import complaints, culprits, named_causes, scenarios


def main() -> int:
    lab = Lab.named()
    (scenario,) = [one for one in scenarios() if one.name == sys.argv[1]]
    told = lab.read("scenario.json")
    played = harness.Run(0, "", 0.0, lab.file("incidents"))
    wrong = list(complaints(lab, scenario, told, played))
    if named_causes(played) != culprits(scenario, told):
        wrong.append(f"named {named_causes(played)}, true are {culprits(scenario, told)}")
    print("\n".join(wrong) or f"{scenario.name}: as the scenario says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
