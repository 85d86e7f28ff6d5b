# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs of pods, side by side, each read with bounded memory (private to the collection).

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._logs.analyser import Source
from ansible_collections.sre.runbooks.plugins.module_utils._within import within_each

Json = dict[str, t.Any]
AT_ONCE = 8
# More containers are not read; each release of each workload gets its share.
MOST_LOGS = 64
LEAST_LINES = 500
LEAST_BYTES = 131072
# How long a line is taken for, to ask for so many of them; and how many times as long the newest ones may be.
LINE_BYTES = 200
TAIL_TIMES = 2
FEWER = 0.8


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which lines: of the last ``seconds``, and no more than so many bytes of each container, and of all together."""

    seconds: int
    bytes_max: int
    bytes_max_all: int = 1 << 40

    def shared(self, number: int) -> Asked:
        """What each of so many containers gets."""
        share = max(LEAST_BYTES, self.bytes_max_all // max(1, number))
        return dataclasses.replace(self, bytes_max=min(self.bytes_max, share))


def read_logs(
    client: Client, namespace: str, pods: t.Sequence[Json], wanted: Asked, deadline: float, *, previous: bool = False
) -> tuple[list[Json], list[Json]]:
    """What the logs of pods tell, a container each, and the gaps: those that could not be read within ``deadline`` seconds, or
    were cut (``cut``: what is told is the newest part of it, as far as that could be read). ``previous``: from before a
    container's last restart."""
    every = places_of(pods)
    places = every[:MOST_LOGS]
    asked = wanted.shared(len(places))
    log = Log(client, namespace, previous)
    calls = [functools.partial(_one, log, pod, container, asked) for pod, container in places]
    told: list[Json] = []
    gaps: list[Json] = []
    for (pod, container), answer in zip(places, within_each(deadline, calls, AT_ONCE), strict=True):
        what = f"log of {pod}/{container}"
        if isinstance(answer, Exception):
            gaps.append({"diagnostic": what, "reason": str(answer) or type(answer).__name__})
            continue
        source, cut = answer
        told.append({"pod": pod, "container": container, "cut": cut, **source.as_data()})
        if cut:
            gaps.append(
                {
                    "diagnostic": what,
                    "reason": f"it is longer than its share of {asked.bytes_max} bytes; only its newest lines were read",
                }
            )
    if len(every) > len(places):
        gaps.append({"diagnostic": "logs", "reason": f"of {len(every)} containers {len(places)} were read"})
    return told, gaps


def places_of(pods: t.Iterable[Json]) -> list[tuple[str, str]]:
    """Each container of each pod, the first ones of all pods first, so that one with many takes nothing of the others."""
    turns = itertools.zip_longest(*([(pod["name"], container) for container in pod["containers"]] for pod in spread(pods)))
    return [place for turn in turns for place in turn if place is not None]


def spread(pods: t.Iterable[Json]) -> list[Json]:
    """Pods in an order that takes one of each release of each workload in turn."""
    groups: dict[tuple[t.Any, t.Any], list[Json]] = {}
    for pod in pods:
        groups.setdefault((pod["workload"], pod["revision"]), []).append(pod)
    turns = itertools.zip_longest(*groups.values())
    return [pod for turn in turns for pod in turn if pod is not None]


@dataclasses.dataclass(frozen=True)
class Log:
    """Where logs are read."""

    client: Client
    namespace: str
    previous: bool


def _one(log: Log, pod: str, container: str, asked: Asked) -> tuple[Source, bool]:
    """A container's newest lines, and whether there are more. ``limitBytes`` keeps the oldest of what is asked for, so where
    lines are longer than was thought, fewer of them are asked for."""
    lines = max(LEAST_LINES, asked.bytes_max // LINE_BYTES)
    first, number = _read(log, pod, container, asked, lines)
    if first.size < asked.bytes_max:
        return first, number >= lines
    wider = dataclasses.replace(asked, bytes_max=TAIL_TIMES * asked.bytes_max)
    return _read(log, pod, container, wider, max(1, int(FEWER * number)))[0], True


def _read(log: Log, pod: str, container: str, asked: Asked, lines: int) -> tuple[Source, int]:
    """What so many last lines tell, and how many there were."""
    source, numbers = Source(), [0]
    path = f"/api/v1/namespaces/{log.namespace}/pods/{pod}/log"
    query = {"container": container, "timestamps": "true", "sinceSeconds": str(asked.seconds), "limitBytes": str(asked.bytes_max),
             "tailLines": str(lines), **({"previous": "true"} if log.previous else {})}  # fmt: skip
    source.feed(_no_more(log.client.stream(path, **query), asked.bytes_max, numbers), stamped=True)
    return source, numbers[0]


def _no_more(pieces: t.Iterable[bytes], most: int, numbers: list[int]) -> t.Iterator[bytes]:
    """Pieces up to a size, whatever the server was asked for; ``numbers`` counts their lines."""
    left = most
    for piece in pieces:
        numbers[0] += piece[:left].count(b"\n")
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return
