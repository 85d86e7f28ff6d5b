# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A time limit for what has none of its own (private to the collection)."""

from __future__ import annotations

import threading
import typing as t

T = t.TypeVar("T")


class LateError(Exception):
    """It has not ended in time. Whether it ends later, nobody knows."""


def within(seconds: float, act: t.Callable[[], T]) -> T:
    """What the act returns, if it does so in time; otherwise it is left behind, in a thread that ends with the process.

    Raises what the act raises, and LateError when it has not ended in time.
    """
    done: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            done.append(act())
        except BaseException as error:  # raised again below, in the caller's thread
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not done:
        raise LateError(f"not within {seconds:g} s")
    return done[0]
