# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A time limit for what has none of its own (private to the collection)."""

from __future__ import annotations

import queue
import threading
import time
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


def within_each(seconds: float, calls: t.Sequence[t.Callable[[], T]], at_once: int) -> list[T | Exception]:
    """What each call returns, or the exception that it raised, so many at once; LateError for those that had not ended in time,
    or had not begun. They are left behind, in threads that end with the process."""
    until = time.monotonic() + seconds
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, T | Exception]] = queue.SimpleQueue()
    for number in range(len(calls)):
        waiting.put(number)

    def work() -> None:
        while time.monotonic() < until:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ended.put((number, calls[number]()))
            except Exception as error:  # the caller's
                ended.put((number, error))

    for _thread in range(min(at_once, len(calls))):
        threading.Thread(target=work, daemon=True).start()
    results: list[T | Exception] = [LateError(f"not within {seconds:g} s")] * len(calls)
    for _call in calls:
        try:
            number, result = ended.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        results[number] = result
    return results
