# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was typed after ansible-playbook: Ansible makes less of it than the person meant (private to the collection; pure)."""

from __future__ import annotations

import argparse
import difflib
import pathlib
import shlex
import typing as t

from ansible.errors import AnsibleError
from ansible.parsing.splitter import parse_kv
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import NAMES, plain

# The options of ansible-playbook that take a value, so that the value is not taken for a playbook.
WITH_A_VALUE = (
    ("-l", "--limit"), ("-f", "--forks"), ("-u", "--user"),
    ("-c", "--connection"), ("-T", "--timeout"), ("-M", "--module-path"), ("--vault-id",), ("--vault-password-file",),
    ("--private-key", "--key-file"), ("--start-at-task",), ("--become-user",), ("--become-method",),
)  # fmt: skip
# What belongs to the incident and is no secret, so that the next command keeps it.
KEPT = ("incident_key", "incident_declare")
ROOTS = ("incident_record_root", "runbooks_record_root")
PHASES = ("declare", "diagnose", "mitigate", "verify", "close")
FREE_TEXTS = ("text", "reason")
SPLIT: t.Callable[[str], dict[str, str]] = parse_kv
# A word that looks so much like one of ours is a slip of the hand.
ALIKE = 0.75


def _parsed(argv: t.Sequence[str]) -> argparse.Namespace | None:
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    known.add_argument("-i", "--inventory", action="append", default=[])
    known.add_argument("-e", "--extra-vars", action="append", default=[])
    known.add_argument("-t", "--tags", action="append", default=[])
    known.add_argument("--skip-tags", action="append", default=[])
    known.add_argument("playbooks", nargs="*")
    for names in WITH_A_VALUE:
        known.add_argument(*names)
    try:
        return known.parse_known_intermixed_args(list(argv[1:]))[0]
    except argparse.ArgumentError:
        return None


def _variables(text: str) -> dict[str, str]:
    """What Ansible makes of one ``-e`` that is neither JSON nor a file; the words that it drops are in ``_raw_params``."""
    if text.lstrip()[:1] in ("{", "[", "@"):
        return {}
    try:
        return {str(name): str(value) for name, value in SPLIT(text).items()}
    except AnsibleError:
        return {}


def _is_split(name: str, text: str) -> bool:
    """Whether a word lost something: other words were dropped, or a free text became variables."""
    made = _variables(text)
    unquoted = name in FREE_TEXTS and text.startswith(f"{name}=") and text.partition("=")[2][:1] not in "'\""
    return name in made and ("_raw_params" in made or (unquoted and len(made) > 1))


def whole_text(name: str, arrived: object, argv: t.Sequence[str]) -> object:
    """A word as the person meant it: of ``-e text='two words'`` Ansible hands over the first word only.

    Raises RecordError where the rest set other variables.

    >>> whole_text("text", "two", ["ansible-playbook", "x.yml", "-e", "text=two words"])
    'two words'
    >>> whole_text("text", "two words", ["ansible-playbook", "x.yml", "-e", "text='two words'"])
    'two words'
    """
    typed = _parsed(argv)
    split = [one for one in (typed.extra_vars if typed else []) if _is_split(name, one)]
    if not split:
        return arrived
    others = [other for other in _variables(split[-1]) if other not in (name, "_raw_params")]
    if others or not split[-1].startswith(f"{name}="):
        raise RecordError(
            f"Ansible splits {plain(split[-1], 120)!r} at its blanks, and {', '.join(others) or 'what comes first'} became a "
            f'variable of its own: type -e \'{{"{name}": "…"}}\' instead. Nothing was done'
        )
    return split[-1].partition("=")[2]


def refuse_slips(argv: t.Sequence[str]) -> None:
    """Raises RecordError for a word or a phase that is none and looks like one: Ansible ignores both without a word."""
    typed = _parsed(argv)
    if typed is None:
        return
    for name in (name for one in typed.extra_vars for name in _variables(one) if name not in NAMES):
        alike = difflib.get_close_matches(name, NAMES, 1, ALIKE)
        if alike:
            raise RecordError(f"there is no word {name!r}; did you mean -e {alike[0]}=…? Nothing was touched")
    tags = {tag.strip() for one in typed.tags for tag in one.split(",") if tag.strip()}
    unknown = tags - {*PHASES, "all", "tagged", "untagged", "always", "never"}
    if unknown:
        raise RecordError(f"there is no phase {', '.join(sorted(unknown))}; there are: {', '.join(PHASES)}. Nothing was touched")


def plays(argv: t.Sequence[str], phase: str) -> bool:
    """Whether a phase is part of what was typed.

    >>> plays(["ansible-playbook", "a.yml"], "mitigate"), plays(["ansible-playbook", "a.yml", "--tags", "diagnose"], "mitigate")
    (True, False)
    """
    typed = _parsed(argv)
    given = (typed.tags, typed.skip_tags) if typed else ([], [])
    tags, skipped = ({tag.strip() for one in words for tag in one.split(",")} for words in given)
    return phase not in skipped and (not tags or bool(tags & {phase, "all", "tagged"}))


def next_command(argv: t.Sequence[str], target: str | None) -> str:
    """What was typed, cut to what is needed to type it again: playbook, inventories, target, and what tells the incident.
    Other variables may hold secrets, so they are left to the reader (``left_out``).

    >>> next_command(["ansible-playbook", "a.yml", "-i", "inv", "-e", "token=secret", "--check"], "prod-db")
    'ansible-playbook a.yml -i inv -e target=prod-db'
    >>> next_command(["ansible-playbook", "a.yml", "-e", "incident_declare=never"], None)
    'ansible-playbook a.yml -e incident_declare=never'
    """
    typed = _parsed(argv)
    if typed is None:
        return "ansible-playbook …"
    return _command(typed, _playbooks(typed), [*KEPT, *ROOTS], [f"target={target}"] if target else [])


def companion(argv: t.Sequence[str], name: str, *variables: str) -> str:
    """The command for another playbook of this collection, with the same inventories.

    >>> companion(["ansible-playbook", "playbooks/a.yml", "-i", "inv"], "undo", "incident_id=db-1")
    'ansible-playbook playbooks/undo.yml -i inv -e incident_id=db-1'
    >>> companion(["ansible-playbook", "sre.runbooks.a"], "undo", "incident_id=db-1")
    'ansible-playbook sre.runbooks.undo -e incident_id=db-1'
    """
    typed = _parsed(argv)
    playbooks = _playbooks(typed) if typed else []
    if typed is None or not playbooks:
        return shlex.join(["ansible-playbook", f"playbooks/{name}.yml", *(word for one in variables for word in ("-e", one))])
    path = pathlib.PurePath(playbooks[0])
    by_name = path.suffix not in (".yml", ".yaml")
    own = f"{path.stem}.{name}" if by_name else str(path.with_name(f"{name}{path.suffix}"))
    return _command(typed, [own], ROOTS, variables)


def _playbooks(typed: argparse.Namespace) -> list[str]:
    return [word for word in typed.playbooks if not word.startswith("-")]


def _command(typed: argparse.Namespace, playbooks: list[str], kept: t.Sequence[str], more: t.Sequence[str]) -> str:
    words = ["ansible-playbook", *playbooks, *(word for inventory in typed.inventory for word in ("-i", inventory))]
    # One variable of those that are kept, and nothing beside it.
    again = [one for one in typed.extra_vars if one.startswith("@") or list(_variables(one)) in [[name] for name in kept]]
    return shlex.join([*words, *(word for one in [*again, *more] for word in ("-e", one))])


def left_out(argv: t.Sequence[str]) -> bool:
    """Whether ``next_command`` leaves out variables that were typed."""
    typed = _parsed(argv)
    given = [one for one in (typed.extra_vars if typed else []) if not one.startswith("@")]
    return any(not set(_variables(one)) or set(_variables(one)) - {*KEPT, *ROOTS, *NAMES} for one in given)
