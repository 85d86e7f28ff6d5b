# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pods' own logs say of the requests that they answered, by path and minute (private; pure).

Of a pod whose proxy beside it logs the same requests too, one container counts alone: the one that tells most.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Log, Pod
from ansible_collections.sre.runbooks.plugins.module_utils._logs.facts import Endpoint
from ansible_collections.sre.runbooks.plugins.module_utils._times import moment, seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    STARTS_WITHIN,
    is_unread,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts, Limits

# How far apart two shares of errors must be, in standard errors, and how many errors it takes.
FAR_APART = 3.0
LEAST_ERRORS = 5
TIMES_AS_OFTEN = 4.0
# How many errors must have been left out until they are over, by all pods that failed and by each of them.
OVER, OVER_IN_EACH, PAUSES = 7.0, 1.0, 2
# Which share of a path's failures one tenant has that has them alone.
ALONE_SHARE = 0.9
RECENT_MINUTES = 4
# Error lines of which the template was not kept.
OTHERS = "(others)"


@dataclasses.dataclass(frozen=True)
class Count:
    """Requests, and how many of them were answered with 5xx."""

    requests: int = 0
    errors: int = 0

    @property
    def ratio(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def __add__(self, other: Count) -> Count:
        return Count(self.requests + other.requests, self.errors + other.errors)

    def __sub__(self, other: Count) -> Count:
        return Count(max(0, self.requests - other.requests), max(0, self.errors - other.errors))


@dataclasses.dataclass(frozen=True)
class Path:
    """One path over several pods: ``good_before`` requests to it were answered before the first that was not. ``since_last``: of
    each pod that failed, how many requests it answered well since its last error, and how many of these would have failed, had
    it gone on as before."""

    name: str = ""
    count: Count = Count()
    good_before: int = 0
    first_error: str = ""
    minutes: t.Mapping[str, Count] = dataclasses.field(default_factory=dict)
    last_error: str = ""
    since_last: t.Sequence[tuple[int, float]] = ()

    @property
    def is_over(self) -> bool:
        """Whether it does not fail any more: by chance as many would be well in none of a thousand cases (Poisson, e^-7)."""
        expected = [number for _good, number in self.since_last]
        return bool(expected) and sum(expected) >= OVER and min(expected) >= OVER_IN_EACH

    def within(self, minutes: t.Collection[str]) -> Count:
        """What was asked in these minutes."""
        return sum((count for minute, count in self.minutes.items() if minute in minutes), Count())

    @property
    def expected_errors(self) -> float:
        """How many of those that were answered well before the first error would have failed, had it failed from its start as
        often as it did afterwards."""
        after = self.count.requests - self.good_before
        return self.good_before * self.count.errors / after if after else 0.0

    def fails(self, limits: Limits) -> bool:
        """Whether it fails, over all that was read."""
        return self.count.errors >= LEAST_ERRORS and self.count.ratio > limits["error_ratio_max"]

    def merged(self, told: Endpoint) -> Path:
        """This and one pod's log of it."""
        minutes = dict(self.minutes)
        for minute, (requests, errors) in told["minutes"].items():
            minutes[minute] = minutes.get(minute, Count()) + Count(requests, errors)
        return Path(
            self.name, self.count + Count(told["requests"], told["server_errors"]), self.good_before + told["good_before_error"],
            min((one for one in (self.first_error, told["first_error"]) if one), default=""), minutes,
            max(self.last_error, told["last_error"]), (*self.since_last, *_since_last(told)),
        )  # fmt: skip


def _since_last(told: Endpoint) -> list[tuple[int, float]]:
    """What one pod answered well since its last error, and how many of these would have failed. Where it has paused for about as
    long before, or one alone had the errors, who may have given up, a pause says nothing."""
    if not told["server_errors"]:
        return []
    good = told["good_after_error"]
    if good <= PAUSES * told["longest_good"] or _are_of_one(told):
        return [(good, 0.0)]
    return [(good, good * told["server_errors"] / (told["requests"] - told["good_before_error"] - good))]


def _are_of_one(told: Endpoint) -> bool:
    """Whether nearly all errors are of one tenant."""
    most = max((counts[1] for counts in told["tenants"].values()), default=0)
    return len(told["tenants"]) > 1 and most >= ALONE_SHARE * told["server_errors"]


def logs_of(facts: Facts, pods: t.Iterable[Pod]) -> list[Log]:
    """Of each pod the log of the container that tells of most answers with 5xx, or of most requests."""
    found: dict[str, Log] = {}
    for one in facts["logs"]:
        known = found.get(one["pod"])
        if known is None or (one["server_errors"], one["requests"]) > (known["server_errors"], known["requests"]):
            found[one["pod"]] = one
    return [found[pod["name"]] for pod in pods if pod["name"] in found]


def paths_of(facts: Facts, pods: t.Iterable[Pod]) -> dict[str, Path]:
    """What was asked of some pods, by path."""
    found: dict[str, Path] = {}
    for one in logs_of(facts, pods):
        for name, told in one["endpoints"].items():
            found[name] = found.get(name, Path(name)).merged(told)
    return found


def recent_minutes(facts: Facts) -> frozenset[str]:
    """The last minutes, by which it is told how users fare now."""
    now = moment(facts["at"])
    if now is None:
        return frozenset()
    ago = (now - datetime.timedelta(minutes=number) for number in range(RECENT_MINUTES))
    return frozenset(one.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M") for one in ago)


def total(facts: Facts, pods: t.Iterable[Pod], minutes: t.Collection[str]) -> Count:
    """All that some pods were asked in some minutes, also what is not told by path."""
    every = (Count(*counts) for one in logs_of(facts, pods) for minute, counts in one["minutes"].items() if minute in minutes)
    return sum(every, Count())


def worst(facts: Facts, paths: t.Mapping[str, Path], minutes: t.Collection[str]) -> Path | None:
    """The path with most errors in some minutes, of those that fail by themselves: many requests to others do not hide it."""
    limits = facts["limits"]
    failing = [
        path for path in paths.values()
        if not path.is_over and (count := path.within(minutes)).requests >= limits["requests_min"]
        and count.errors >= LEAST_ERRORS and count.ratio > limits["error_ratio_max"]
    ]  # fmt: skip
    return max(failing, key=lambda one: (one.within(minutes).errors, one.name), default=None)


def that_answer_well(facts: Facts, pods: t.Iterable[Pod], bad: Path) -> list[str]:
    """The names of those pods that answer a failing path well."""
    limits, recent = facts["limits"], recent_minutes(facts)
    counts = {pod["name"]: paths_of(facts, [pod]).get(bad.name, Path()).within(recent) for pod in pods}
    return [
        name for name, count in counts.items()
        if count.requests >= limits["requests_min"] and count.ratio <= limits["error_ratio_max"]
    ]  # fmt: skip


def are_read(facts: Facts, pods: t.Iterable[Pod]) -> bool:
    """Whether every log of these pods was read, and all of it."""
    if is_unread(facts, "logs"):
        return False
    read = {(one["pod"], one["container"]) for one in facts["logs"] if not one["cut"]}
    return all((pod["name"], container) in read for pod in pods for container in pod["containers"])


def are_read_from_their_start(facts: Facts, pods: t.Iterable[Pod]) -> bool:
    """Whether the logs tell everything that these pods ever answered: they are younger than the lines that were asked for, no
    container of theirs was started again, and no log begins later (the kubelet serves only the file that it writes now)."""
    ages = [seconds_between(pod["created_at"], facts["at"]) for pod in pods]
    are_young = all(age is not None and age <= facts["log_seconds"] for age in ages)
    first_lines = {one["pod"]: one["first_line"] for one in logs_of(facts, pods)}
    silent = [seconds_between(pod["created_at"], first_lines.get(pod["name"], "")) for pod in pods]
    are_whole = all(seconds is not None and seconds <= STARTS_WITHIN for seconds in silent)
    return are_young and are_whole and not any(pod["restarts"] for pod in pods) and are_read(facts, pods)


def separates(one: Path, other: Path) -> bool:
    """Whether the first fails so much more often, minute by minute, that chance does not explain it (Mantel-Haenszel), and many
    times as often: the mix of minutes in which the two were asked is no difference.

    >>> calm, sick = {"02:10": Count(100, 0)}, {"02:10": Count(100, 40)}
    >>> separates(Path(minutes=sick), Path(minutes=calm)), separates(Path(minutes=sick), Path(minutes=sick))
    (True, False)
    """
    minutes = set(one.minutes) & set(other.minutes)
    apart = spread = 0.0
    for minute in minutes:
        mine, theirs = one.minutes[minute], other.minutes[minute]
        both = mine + theirs
        apart += mine.errors - mine.requests * both.ratio
        if both.requests > 1:
            share = mine.requests * theirs.requests / (both.requests * (both.requests - 1))
            spread += share * both.errors * (1 - both.ratio)
    mine, theirs = one.within(minutes), other.within(minutes)
    is_enough = mine.errors >= LEAST_ERRORS and mine.ratio >= TIMES_AS_OFTEN * theirs.ratio
    return is_enough and spread > 0 and apart / math.sqrt(spread) >= FAR_APART


def top_error(facts: Facts, pods: t.Iterable[Pod]) -> str:
    """The template of most error lines, with how often it came; empty where there is none."""
    names = {pod["name"] for pod in pods}
    counts: dict[str, int] = {}
    for one in facts["logs"]:
        for template, told in one["templates"].items() if one["pod"] in names else ():
            counts[template] = counts.get(template, 0) + told["count"]
    best = max(counts, key=lambda name: (name != OTHERS, counts[name], name), default="")
    return f"{best} ({counts[best]} ×)" if best else ""
