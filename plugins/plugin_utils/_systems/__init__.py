# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of systems: each lies in a folder of its own, and is found there (private to the collection).

A folder's package has a ``SYSTEM``; there is no list to add it to.
"""

from __future__ import annotations

import functools
import importlib
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue, load
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import System


def found() -> list[System]:
    """Every kind of system that has a folder here."""
    folders = sorted(path.parent.name for path in pathlib.Path(__file__).parent.glob("*/__init__.py"))
    return [t.cast("System", importlib.import_module(f"{__name__}.{name}").SYSTEM) for name in folders]


@functools.cache
def shipped() -> Catalogue:
    """All that can be found and done, checked together. Raises JudgementError for what does not fit."""
    return load(found())
