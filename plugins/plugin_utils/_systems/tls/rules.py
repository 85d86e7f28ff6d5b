# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on certificates that are served (private to the collection; pure)."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._tls.facts import Certificate, Served
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.tls.facts import Facts

FORM = "%Y-%m-%dT%H:%M:%SZ"
DAY = 86400.0
# OpenSSL's numbers: the issuer is not among what was served, nor among what is trusted.
NO_ISSUER = (2, 20, 21)


def _ref(facts: Facts, served: Served) -> Ref:
    return Ref(facts["system"], "endpoint", served["endpoint"])


def _links(facts: Facts, served: Served) -> tuple[Ref, ...]:
    return tuple(Ref(facts["system"], "url", url) for url in served["urls"])


def _seconds(earlier: str, later: str) -> float:
    return (datetime.datetime.strptime(later, FORM) - datetime.datetime.strptime(earlier, FORM)).total_seconds()


def _evidence(served: Served, leaf: Certificate) -> dict[str, t.Any]:
    host, _colon, port = served["endpoint"].rpartition(":")
    return {
        "endpoint": served["endpoint"], "name": served["name"], "host": host, "port": port, "issuer": leaf["issuer"],
        "serial": leaf["serial"], "not_after": leaf["not_after"], "not_before": leaf["not_before"],
        "names": ", ".join(leaf["names"][:5]) or "nobody", "certificates": len(served["chain"]), "why": served["distrust"],
    }  # fmt: skip


def _found(facts: Facts, served: Served, identity: str, confidence: t.Literal["proven", "likely"], **more: t.Any) -> Finding:
    leaf = served["chain"][0]
    return Finding(identity, confidence, _ref(facts, served), _links(facts, served), {**_evidence(served, leaf), **more})


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def fits(name: str, pattern: str) -> bool:
    """Whether a name of a certificate is for a host: itself, or with ``*`` for its first label (RFC 6125).

    >>> fits("api.example.org", "*.example.org"), fits("a.b.example.org", "*.example.org"), fits("::1", "0:0:0:0:0:0:0:1")
    (True, False, True)
    """
    address = _address(name)
    if address is not None:
        return address == _address(pattern)
    wanted, given = name.lower().rstrip("."), pattern.lower().rstrip(".")
    first, dot, rest = given.partition(".")
    return wanted == given or (first == "*" and bool(dot) and wanted.partition(".")[2] == rest and bool(wanted.partition(".")[0]))


def unread(facts: Facts) -> t.Iterator[Observation]:
    """Endpoints that nobody could shake hands with, and those that were looked at."""
    if not facts["served"]:
        yield Gap(facts["system"], "certificates", "no https:// address is configured (runbooks_health_urls)")
    for served in facts["served"]:
        if served["failure"]:
            yield Gap(facts["system"], f"the certificate of {served['endpoint']}", served["failure"])
        elif not served["chain"]:
            yield Gap(facts["system"], f"the certificate of {served['endpoint']}", "none was served")
        else:
            yield Measured(facts["system"], served["endpoint"], "system")


def _read(facts: Facts) -> list[Served]:
    return [one for one in facts["served"] if one["chain"]]


def times(facts: Facts) -> t.Iterator[Observation]:
    """A certificate that is over, not yet begun, or over soon."""
    for served in _read(facts):
        leaf = served["chain"][0]
        left = _seconds(served["at"], leaf["not_after"])
        if left < 0:
            yield _found(facts, served, "tls.certificate_expired", "proven", ago=_told(-left))
        elif _seconds(served["at"], leaf["not_before"]) > 0:
            yield _found(facts, served, "tls.certificate_not_yet_valid", "proven")
        elif left < facts["limits"]["days_left_min"] * DAY:
            yield _found(facts, served, "tls.certificate_expires_soon", "proven", left=_told(left))
        else:
            until = f"{served['endpoint']} until {leaf['not_after'][:10]}"
            yield RuledOut(facts["system"], "tls.certificate_expired", until)


def _told(seconds: float) -> str:
    return f"{seconds / DAY:.1f} days" if seconds >= DAY else f"{seconds / 3600:.1f} hours"


def names(facts: Facts) -> t.Iterator[Observation]:
    """A certificate that is for others."""
    for served in _read(facts):
        if any(fits(served["name"], one) for one in served["chain"][0]["names"]):
            yield RuledOut(facts["system"], "tls.certificate_wrong_name", f"{served['endpoint']} is for {served['name']}")
        else:
            yield _found(facts, served, "tls.certificate_wrong_name", "proven")


def trust(facts: Facts) -> t.Iterator[Observation]:
    """A chain that ends where nobody here trusts it. Of one that is over, or for others, that is said, and whether it would be
    trusted otherwise is not known."""
    for served in _read(facts):
        if served["distrust_code"] in NO_ISSUER and not served["chain"][-1]["is_own_issuer"]:
            yield _found(facts, served, "tls.chain_incomplete", "likely", missing=served["chain"][-1]["issuer"])
        elif served["distrust"] and not any(_explained(one, served) for one in (*times(facts), *names(facts))):
            yield _found(facts, served, "tls.certificate_untrusted", "proven")
        elif not served["distrust"] and not served["failure"]:
            yield RuledOut(facts["system"], "tls.certificate_untrusted", f"{served['endpoint']} is trusted here")


def _explained(one: Observation, served: Served) -> bool:
    over = ("tls.certificate_expired", "tls.certificate_not_yet_valid", "tls.certificate_wrong_name")
    return isinstance(one, Finding) and one.id in over and one.subject.key == served["endpoint"]


RULES = (unread, times, names, trust)
