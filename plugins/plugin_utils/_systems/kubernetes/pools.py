# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule on the pools of connections that pods have to their database (private to the collection; pure).

Requests that wait for a connection in vain say little: connections may be too few, or each may be held for too long. A larger
pool is offered only where the database has room for it, by its own count, and within what the inventory grants the application.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config, Pod, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Confidence, Finding, Json, Observation
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Room
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    pods_of,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts, PoolLimits
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import paths_of, recent_minutes, worst
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.takers import others_take, taken_by

# What an application says that waited for a connection of its pool: SQLAlchemy, HikariCP, pgx, node-postgres, others.
WAITED = re.compile(
    r"queuepool limit|connection is not available, request timed out"
    r"|timed? ?out .{0,40}(?:acquir|waiting for|fetch).{0,20}connect"
    r"|(?:connection )?pool (?:is )?(?:exhausted|empty|full)|unable to acquire .{0,30}connection|no available connections?"
    r"|acquir\w* .{0,15}connection.{0,30}(?:timed? ?out|deadline exceeded)|(?:get|obtain)\w* .{0,20}connection from .{0,12}pool"
    r"|timeout exceeded when trying to connect",
    re.IGNORECASE,
)
# What of such words is of a database for certain, and what is of something else.
OF_A_DATABASE = re.compile(
    r"queuepool|hikari|jdbc|datasource|postgres|pgx|psycopg|sqlalchemy|(?<![a-z])(?:db|database|sql)(?![a-z])", re.IGNORECASE
)
LEAST_LINES = 10
# Of the sessions that all pods may have, how many are there at least where their pools are used up.
USED_UP = 0.5
RECENT_SECONDS = 300.0
# By how much a pool grows at a time, and how many pods there may be beside the wanted ones while they are replaced.
GROWS = 4
SURGE = 0.25


@dataclasses.dataclass(frozen=True)
class Fit:
    """How large each pod's pool may be: ``size`` now, ``to`` at most; ``room``: what the database says, None where it was not
    read; ``why_not``: why nothing is offered; ``is_used_up``: the database has about as many sessions as all pods may have."""

    size: int | None
    to: int
    room: Room | None
    why_not: str
    is_used_up: bool = False


def pool_exhausted(facts: Facts) -> t.Iterator[Observation]:
    """Requests that waited in vain for a connection of their pod's pool."""
    if is_unread(facts, "workloads", "pods", "services"):
        return
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        lines, example = _waited(facts, pods)
        fails = worst(facts, paths_of(facts, pods), recent_minutes(facts)) is not None or facts["users_suffer"]
        if lines >= LEAST_LINES and fails:
            yield _finding(facts, workload, pods, lines, example)


def _waited(facts: Facts, pods: t.Iterable[Pod]) -> tuple[int, str]:
    """How many error lines of the last minutes tell of it, and what most of them say."""
    names, counts = {pod["name"] for pod in pods}, dict[str, int]()
    for log in facts["logs"]:
        for text, told in log["templates"].items() if log["pod"] in names else ():
            ago = seconds_between(told["last"], facts["at"])
            if WAITED.search(text) and ago is not None and ago <= RECENT_SECONDS:
                counts[text] = counts.get(text, 0) + told["count"]
    return sum(counts.values()), max(counts, key=lambda text: (counts[text], text), default="")


def _finding(facts: Facts, workload: Watched, pods: t.Sequence[Pod], lines: int, example: str) -> Finding:
    limits = facts["limits"].get("pool")
    config = next(iter(facts["pools"]), None)
    fit = _fit(facts, workload, limits, config)
    doubt = _doubt(fit, example)
    confidence: Confidence = "possible" if doubt else "likely"
    room = "what the database has left was not read"
    if fit.room is not None:
        room = f"the database has {fit.room['sessions']} sessions of the application and takes {fit.room['more']} more"
    return Finding(
        "k8s.pool_exhausted", confidence, workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={
            "workload": key_of(facts, workload), "lines": lines, "error": example, "pods": len(pods), "room": room,
            "size": "of a size that is not known" if fit.size is None else f"of {fit.size}",
            "fits": fit.why_not or (f"{fit.to} would fit, but {doubt}" if doubt else f"{fit.to} fit"),
            "namespace": facts["namespace"], "name": workload["name"],
        },
        targets={"increase_pool": _targets(facts, workload, config, fit.to) if config and not doubt and not fit.why_not else ()},
    )  # fmt: skip


def _doubt(fit: Fit, example: str) -> str:
    """What speaks against these pools being what is too small; empty where nothing does."""
    if fit.room is None or fit.room["more"] <= 0:
        return "the database has no room, or was not read"
    if not fit.is_used_up:
        return "the database has fewer sessions than the pods may have: not all that they may have are in use"
    return "" if OF_A_DATABASE.search(example) else "the words do not say that it is a database's"


def _fit(facts: Facts, workload: Watched, limits: PoolLimits | None, config: Config | None) -> Fit:
    """The arithmetic: all pods, also those that stand beside them while they are replaced, within the database's room and the
    inventory's grant."""
    room = _room(facts)
    if limits is None or config is None:
        return Fit(None, 0, room, "the inventory does not say by which key of which ConfigMap it is set (runbooks_k8s_pool)")
    if not str(config["value"]).isdecimal() or not int(str(config["value"])):
        return Fit(None, 0, room, f"{config['key']} of {config['configmap']} holds no number above 0")
    size, pods = int(str(config["value"])), len(pods_of(facts, workload))
    taken = taken_by(facts, workload, config)
    if taken is None or taken.before or taken.missing or not taken.is_known:
        return Fit(size, 0, room, "not all of its pods are known to have that size: they were started before it was written")
    if room is None:
        return Fit(size, 0, None, "without the database's own count of its sessions nothing is offered")
    # The sessions that are there give way to the new ones; those of others, under the same role, do not.
    number = max(workload["replicas"], pods) + max(1, math.ceil(SURGE * workload["replicas"]))
    own = min(room["sessions"], pods * size)
    fits = min(limits["connections_max"], own + room["more"]) // number
    used_up = room["sessions"] >= USED_UP * pods * size
    if fits <= size:
        grant = limits["connections_max"]
        why = f"{number} pods × {size} are what fits: the inventory grants {grant}, {room['more']} more are free"
        return Fit(size, fits, room, why, used_up)
    return Fit(size, min(fits, GROWS * size), room, _why_kept(facts, workload, config), used_up)


def _room(facts: Facts) -> Room | None:
    """What the database that it depends on takes: of several, or where one does not say, nobody knows which it is."""
    below = facts.get("below", [])
    return below[0]["room"] if len(below) == 1 else None


def _why_kept(facts: Facts, workload: Watched, config: Config) -> str:
    if config["owner"]:
        return f"{config['owner']['tool']} ({config['owner']['name']}) writes the ConfigMap: {config['owner']['suspend']}"
    if config["immutable"] or workload["paused"] or not (config["uid"] and workload["uid"]):
        return "the ConfigMap is immutable, or the workload is paused, or not known by its uid"
    return "another workload takes the ConfigMap too" if others_take(facts, workload, config) else ""


def _targets(facts: Facts, workload: Watched, config: Config, to: int) -> tuple[Json, ...]:
    return ({"namespace": facts["namespace"], "configmap": config["configmap"], "uid": config["uid"], "key": config["key"],
             "was": config["value"], "value": str(to), "workload": workload["name"],
             "workload_uid": workload["uid"]},)  # fmt: skip


RULES = (pool_exhausted,)
