# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on what users see: the probes that http_probe_info makes (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._probe.facts import Probed
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import UNRESOLVED
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.edge.facts import Facts

# Failures that come about before anything is sent.
# Without it nobody knows how the users of this system are.
NOBODY = "what users see"
FROM_HERE = {UNRESOLVED, "Network is unreachable"}
LOOK_HERE = "its DNS or VPN, or the address in the inventory"


def _subject(facts: Facts, probe: Probed) -> Ref:
    return Ref(facts["system"], "url", probe["url"])


def _links(facts: Facts) -> tuple[Ref, ...]:
    return tuple(Ref(system, "system", system) for system in facts["depends_on"])


def _never_left(probe: Probed) -> bool:
    """Whether no request of a probe got as far as the network: that tells of the runbook's machine, not of users."""
    return bool(probe["reasons"]) and set(probe["reasons"]) <= FROM_HERE and probe["failures"] == probe["requests"]


def _is_measured(probe: Probed) -> bool:
    return bool(probe["requests"]) and not _never_left(probe)


def _measured(facts: Facts) -> list[Probed]:
    return [probe for probe in facts["probes"] if _is_measured(probe)]


def sampled(facts: Facts) -> t.Iterator[Observation]:
    """No request, no knowledge: a URL that was not measured is a gap, never a success and never a failure."""
    if not facts["probes"]:
        yield Gap(facts["system"], NOBODY, "no health URL is configured (runbooks_health_urls)")
    elif not _measured(facts):
        yield Gap(facts["system"], NOBODY, "none of its URLs could be measured")
    for probe in facts["probes"]:
        if _is_measured(probe):
            yield Measured(facts["system"], probe["url"], "reads" if _only_reads(probe) else "writes")
        elif probe["requests"]:
            yield Gap(facts["system"], probe["url"], f"{', '.join(sorted(probe['reasons']))} from here: {LOOK_HERE}")
        else:
            yield Gap(facts["system"], probe["url"], "no request was made")


def _only_reads(probe: Probed) -> bool:
    return probe["method"] in ("GET", "HEAD")


def _fails(facts: Facts, probe: Probed) -> bool:
    return bool(probe["failures"] / probe["requests"] > facts["limits"]["error_ratio_max"])


def _is_slow(facts: Facts, probe: Probed) -> bool:
    return probe["p95_ms"] is not None and bool(probe["p95_ms"] > facts["limits"]["p95_ms_max"])


def failing(facts: Facts) -> t.Iterator[Observation]:
    """Errors and time-outs over the limit."""
    for probe in _measured(facts):
        if _fails(facts, probe):
            reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(probe["reasons"].items()))
            yield Finding(
                "api.failing" if _only_reads(probe) else "api.writes_failing",
                "proven",
                _subject(facts, probe),
                links=_links(facts),
                evidence={
                    "url": probe["url"],
                    "failures": probe["failures"],
                    "requests": probe["requests"],
                    "reasons": reasons,
                },
            )
        elif not _is_slow(facts, probe):  # one that answers late is not denied to be in trouble
            answered = probe["requests"] - probe["failures"]
            identity = "api.failing" if _only_reads(probe) else "api.writes_failing"
            yield RuledOut(facts["system"], identity, f"{probe['url']} answers {answered} of {probe['requests']} requests")


def latency_high(facts: Facts) -> t.Iterator[Observation]:
    """The 95th percentile over the limit, where the URL answers at all (a failing one is slow by its time-outs)."""
    limit = facts["limits"]["p95_ms_max"]
    for probe in _measured(facts):
        if probe["p95_ms"] is None or _fails(facts, probe):
            continue
        if _is_slow(facts, probe):
            yield Finding(
                "api.latency_high",
                "proven",
                _subject(facts, probe),
                links=_links(facts),
                evidence={"url": probe["url"], "p95_ms": probe["p95_ms"], "limit_ms": limit},
            )
        else:
            yield RuledOut(facts["system"], "api.latency_high", f"{probe['url']} p95 {probe['p95_ms']:g} ms")


def monitors(facts: Facts) -> t.Iterator[Observation]:
    """What Datadog's monitors say. They lag by minutes, so they are told beside what was measured and prove nothing."""
    if facts.get("monitors_refused"):
        yield Gap(facts["system"], "Datadog", facts["monitors_refused"])
    for monitor in facts.get("monitors", []):
        name = f"{monitor['name'] or 'monitor'} ({monitor['id']})"
        if monitor["state"] in ("Alert", "Warn"):
            evidence = {"name": name, "state": monitor["state"], "groups": ", ".join(sorted(monitor["groups"])[:5]) or "no group"}
            yield Finding(
                "api.monitor_alerting", "possible", Ref(facts["system"], "monitor", str(monitor["id"])), evidence=evidence
            )
        elif monitor["state"] == "OK":
            yield RuledOut(facts["system"], "api.monitor_alerting", f"{name} is OK")
        else:
            yield Gap(facts["system"], f"Datadog's {name}", f"its state is {monitor['state']}")


RULES = (sampled, failing, latency_high, monitors)
