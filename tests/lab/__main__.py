"""The lab's command line.

python -m tests.lab up [part ...]      starts the parts that do not run yet (the database and its users by default)
python -m tests.lab down               ends every process, removes every file
python -m tests.lab status             what runs, what is broken, what users see
python -m tests.lab break FAULT        breaks something, until it is healed; without FAULT: what there is
python -m tests.lab heal [FAULT ...]   ends faults (all by default)
python -m tests.lab inventory          the inventory as JSON
python -m tests.lab journal [VENDOR]   every request that the vendors' simulators received
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import sys
import time
import typing as t

from tests.lab import faults, observer
from tests.lab.inventory import inventory
from tests.lab.kubernetes import plane
from tests.lab.postgresql import server as postgres
from tests.lab.sim import control
from tests.lab.state import Lab, LabError, process_start

HOW = """\
  source .venv/bin/activate
  python -m tests.lab break                  what can be broken
  python -m tests.lab break queued-ddl       breaks it, until: python -m tests.lab heal
  ansible-playbook playbooks/runbook_db_degradation.yml -i inventories/lab
  python -m tests.lab down                   ends the lab"""
VENDORS = ("pagerduty", "statuspage", "mail", "datadog")
DATABASE = ("postgres", "app", "load", "observer", *VENDORS)
STANDING = (
    ("app", "tests.lab.app"), ("aws", "tests.lab.aws.server"), ("load", "tests.lab.load"), ("observer", "tests.lab.observer"),
)  # fmt: skip
CLUSTER = ("postgres", "kubernetes", "service", *VENDORS)
CLOUD = (*DATABASE, "aws")
PARTS = (*DATABASE, "kubernetes", "service", "aws")


def running(lab: Lab, part: str) -> bool:
    told = lab.read(f"ready/{part}.json")
    return bool(told) and process_start(told["pid"]) is not None


def clear_dead(lab: Lab) -> None:
    """Removes what a killed lab left: if any part is dead, all of it goes, since the parts point at each other."""
    if lab.root.exists() and not all(running(lab, part) for part in lab.parts()):
        lab.end()
    if lab.root.exists() and not lab.parts():
        lab.end()


def up(lab: Lab, wanted: t.Sequence[str], version: str, settings: dict[str, str]) -> None:
    """Starts the wanted parts and what they stand on, side by side where they do not need each other.

    When one does not start, a lab that was not there before is gone again: no process and no file stays.
    """
    unknown = set(wanted) - set(PARTS)
    if unknown:
        raise LabError(f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    needed = set(wanted or DATABASE)
    needed |= {"kubernetes"} if "service" in needed else set()
    needed |= {"app"} if needed & {"load", "aws"} else set()
    needed |= {"postgres"} if needed & {"app", "observer", "service"} else set()
    clear_dead(lab)
    was_there = bool(lab.parts())
    try:
        _start(lab, needed, version, settings)
    except BaseException:
        if not was_there:
            lab.end()
        raise


def _start(lab: Lab, needed: set[str], version: str, settings: dict[str, str]) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        vendors = [
            pool.submit(lab.start_part, part, f"tests.lab.sim.{part}")
            for part in VENDORS
            if part in needed and not running(lab, part)
        ]
        if "postgres" in needed and not running(lab, "postgres"):
            postgres.up(lab, version, settings)
        for part, module in STANDING:
            if part in needed and not running(lab, part):
                lab.start_part(part, module)
        if "kubernetes" in needed and not running(lab, "kubernetes"):
            lab.start_part("kubernetes", "tests.lab.kubernetes.plane", str(plane.assets()), seconds=60.0)
        if "service" in needed and not running(lab, "service"):
            lab.start_part("service", "tests.lab.kubernetes.service")
        for vendor in vendors:
            vendor.result()


def status(lab: Lab) -> None:
    for part in lab.parts():
        told = lab.part(part)
        print(f"{part:<11} pid {told['pid']:<8} {told.get('url') or told.get('server') or told.get('port') or ''}")
    print("broken     ", ", ".join(faults.standing(lab)) or "nothing")
    if "observer" in lab.parts():
        print("users      ", json.dumps(observer.next_look(lab)))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    options.add_argument("--name", help="which lab (default: $LAB, or 'default'); several run at once")
    verbs = options.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("up")
    start.add_argument("parts", nargs="*")
    start.add_argument("--postgresql", default="18", help="18 (the embedded one) or a Debian version such as 15")
    start.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a PostgreSQL setting")
    breaking = verbs.add_parser("break")
    breaking.add_argument("fault", nargs="?", help=f"one of: {', '.join(faults.FAULTS)}; without it: what each of them does")
    breaking.add_argument("--seed", type=int, default=1)
    verbs.add_parser("heal").add_argument("faults", nargs="*")
    verbs.add_parser("journal").add_argument("vendors", nargs="*")
    for verb in ("down", "status", "inventory"):
        verbs.add_parser(verb)
    return options


def say_up(lab: Lab, options: argparse.Namespace) -> None:
    started = time.monotonic()
    up(lab, options.parts, options.postgresql, dict(pair.split("=", 1) for pair in options.set))
    print(f"lab {lab.name} is up: {', '.join(lab.parts())} ({time.monotonic() - started:.1f} s)")
    print(HOW)


def say_broken(lab: Lab, options: argparse.Namespace) -> None:
    if options.fault is None:
        for name, kind in faults.FAULTS.items():
            print(f"{name:<22} {(kind.begin.__doc__ or '').splitlines()[0]}")
        return
    started = time.monotonic()
    faults.break_it(lab, options.fault, options.seed)
    print(f"{options.fault} stands ({time.monotonic() - started:.1f} s)")


def heal(lab: Lab, options: argparse.Namespace) -> None:
    for name in options.faults or faults.standing(lab):
        faults.heal(lab, name)


def say_journal(lab: Lab, options: argparse.Namespace) -> None:
    for vendor in options.vendors or [part for part in VENDORS if part in lab.parts()]:
        for entry in control.journal(lab, vendor):
            print(json.dumps({"vendor": vendor, **entry}))


VERBS: dict[str, t.Callable[[Lab, argparse.Namespace], None]] = {
    "up": say_up,
    "down": lambda lab, _: lab.end(),
    "status": lambda lab, _: status(lab),
    "break": say_broken,
    "heal": heal,
    "inventory": lambda lab, _: print(json.dumps(inventory(lab), indent=1)),
    "journal": say_journal,
}


def main() -> int:
    options = parser().parse_args()
    try:
        VERBS[options.verb](Lab.named(options.name), options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
