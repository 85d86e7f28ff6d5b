# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on whose requests fail: one tenant's, or those of somebody who tries passwords (private to the collection; pure).

Who somebody is, the application's own log says; an address may be made up where a balancer does not replace what it is given.
"""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import is_own_network
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    pods_of,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    ALONE_SHARE,
    OTHERS,
    Path,
    logs_of,
    paths_of,
    recent_minutes,
    worst,
)

# How many failures one tenant has that has them alone, of which share of all requests; by chance, of half of all, 2^-10.
ALONE_ERRORS, MOST_REQUESTS_SHARE = 10, 0.5
# How many refusals, from how few addresses, which share of all, and which share of what each of them tries.
TRIED, FEW, FEW_SHARE, TRIED_IN_VAIN = 50, 3, 0.8, 0.5
# Of all others so many at most are refused, or it is no attack but an outage.
OTHERS_REFUSED = 0.3
Kind = t.Literal["tenants", "addresses"]


@dataclasses.dataclass(frozen=True)
class Share:
    """What one name has of the requests to a path: all, those that went badly, and those that were well."""

    requests: int = 0
    bad: int = 0
    well: int = 0

    @property
    def ratio(self) -> float:
        return self.bad / self.requests if self.requests else 0.0

    def __add__(self, other: Share) -> Share:
        return Share(self.requests + other.requests, self.bad + other.bad, self.well + other.well)


def shares_of(facts: Facts, pods: t.Iterable[Pod], path: str, kind: Kind) -> dict[str, Share]:
    """The requests to a path by name, over some pods."""
    found: dict[str, Share] = {}
    for log in logs_of(facts, pods):
        for name, counts in log["endpoints"][path][kind].items() if path in log["endpoints"] else ():
            found[name] = found.get(name, Share()) + Share(*counts)
    return found


def one_tenant(facts: Facts) -> t.Iterator[Observation]:
    """A path that fails for one tenant, and for nobody else."""
    if is_unread(facts, "workloads", "releases", "pods", "services"):
        return
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        bad = worst(facts, paths_of(facts, pods), recent_minutes(facts))
        if bad is None:
            continue
        shares = shares_of(facts, pods, bad.name, "tenants")
        known, where = sum(shares.values(), Share()), f"whose requests to {bad.name} of {workload['name']} fail"
        if known.bad < ALONE_ERRORS or known.bad < ALONE_SHARE * _lately(facts, bad):
            yield Gap(facts["system"], where, "too few of the failed requests tell whose they were, or there are too few")
            continue
        name, mine = max(shares.items(), key=lambda one: (one[1].bad, one[0]))
        others = Share(known.requests - mine.requests, known.bad - mine.bad)
        if name == OTHERS:
            yield Gap(facts["system"], where, "there are more tenants than are kept, and most failures are of the rest")
        elif mine.bad < ALONE_SHARE * known.bad or mine.requests > MOST_REQUESTS_SHARE * known.requests:
            said = f"{bad.name}: {name} has {mine.requests} of {known.requests} requests, and {mine.bad} of {known.bad} failures"
            yield RuledOut(facts["system"], "k8s.one_tenant", said)
        elif others.requests >= facts["limits"]["requests_min"] and others.ratio <= facts["limits"]["error_ratio_max"]:
            yield _alone(facts, workload, (name, mine), others, bad.name)
        else:
            yield Gap(facts["system"], where, f"{name} has {mine.bad} of {known.bad} failures; of the others too little is known")


def _lately(facts: Facts, path: Path) -> int:
    """The failures of a path in the last minutes, of which it is kept whose they were."""
    return path.within(recent_minutes(facts)).errors


def _alone(facts: Facts, workload: Watched, one: tuple[str, Share], others: Share, path: str) -> Finding:
    name, mine = one
    return Finding(
        "k8s.one_tenant", "likely", Ref(facts["system"], "tenant", f"{key_of(facts, workload)}/tenant {name}"),
        links=(workload_ref(facts, workload), *(service_ref(facts, one) for one in services_of(facts, workload))),
        evidence={
            "workload": key_of(facts, workload), "tenant": name, "path": path, "quoted": _literal(path), "errors": mine.bad,
            "requests": mine.requests,
            "others_errors": others.bad, "others_requests": others.requests, "namespace": facts["namespace"],
            "name": workload["name"],
        },
    )  # fmt: skip


def login_stuffing(facts: Facts) -> t.Iterator[Observation]:
    """Somebody who tries passwords, from few addresses: of the refusals of a path they have nearly all."""
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        paths = {path for log in logs_of(facts, pods) for path, told in log["endpoints"].items() if told["refused"]}
        for path in sorted(paths):
            shares = shares_of(facts, pods, path, "addresses")
            refused = sum(log["endpoints"][path]["refused"] for log in logs_of(facts, pods) if path in log["endpoints"])
            if refused >= TRIED:
                yield _refusals(facts, workload, path, shares, refused)


def _refusals(facts: Facts, workload: Watched, path: str, shares: dict[str, Share], refused: int) -> Observation:
    few = [
        name for name, one in sorted(shares.items(), key=lambda each: (-each[1].bad, each[0]))[:FEW]
        if name != OTHERS and one.ratio >= TRIED_IN_VAIN and one.bad * FEW * 4 >= refused
    ]  # fmt: skip
    theirs = sum((shares[name] for name in few), Share())
    others = sum((one for name, one in shares.items() if name not in few), Share())
    why = _why_no_attack(facts, few, theirs, others, refused)
    if why:
        said = f"{refused} requests to it were refused (401, 403, 429), from {len(shares)} addresses; {why}"
        return Gap(facts["system"], f"who is refused on {path} of {workload['name']}", said)
    return Finding(
        "k8s.login_stuffing", "likely", workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={
            "workload": key_of(facts, workload), "path": path, "quoted": _literal(path), "addresses": ", ".join(few),
            "options": " ".join(f"-e {name}" for name in few), "refused": theirs.bad, "all": refused, "let_in": theirs.well,
            "others_requests": others.requests, "others_refused": others.bad, "namespace": facts["namespace"],
            "name": workload["name"],
        },
    )  # fmt: skip


def _why_no_attack(facts: Facts, few: t.Sequence[str], theirs: Share, others: Share, refused: int) -> str:
    """Why it is not known to be an attack; empty where it is."""
    if not few or theirs.bad < FEW_SHARE * refused:
        return "few of them do not have most of the refusals"
    if any(is_own_network(name) for name in few):
        return "most are of an address of a network of one's own, a balancer or a service: whose requests they were is not known"
    if others.requests < facts["limits"]["requests_min"] or others.ratio > OTHERS_REFUSED:
        return f"of all others {others.bad} of {others.requests} were refused: whether they are let in as ever is not known"
    return ""


def _literal(path: str) -> str:
    """The part of a path that stands in each line as it is, for a shell."""
    return shlex.quote(path.partition("{")[0])


RULES = (one_tenant, login_stuffing)
