# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an argument spec: a misspelt one is an error of the types, not an option without its constraint (private).

Source: https://docs.ansible.com/ansible/latest/dev_guide/developing_program_flow_modules.html#argument-spec
"""

from __future__ import annotations

import typing as t


class Option(t.TypedDict, total=False):
    """One option of a module."""

    type: t.Literal["str", "int", "float", "bool", "list", "dict", "path", "raw"]
    required: bool
    default: t.Any
    choices: t.Sequence[t.Any]
    elements: t.Literal["str", "int", "float", "dict"]
    no_log: bool
    options: t.Mapping[str, Option]
    aliases: t.Sequence[str]


Spec = dict[str, Option]
