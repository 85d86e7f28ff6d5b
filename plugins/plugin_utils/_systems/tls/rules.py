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

DAY = 86400.0
# OpenSSL's numbers: the issuer is neither served nor trusted; its own issuer; over or not begun; for others.
NO_ISSUER = (2, 20, 21)
SELF_SIGNED = (18, 19)
OVER = (9, 10)
OTHER_NAME = (62, 64)


def _ref(facts: Facts, served: Served) -> Ref:
    return Ref(facts["system"], "endpoint", served["endpoint"])


def _links(facts: Facts, served: Served) -> tuple[Ref, ...]:
    return tuple(Ref(facts["system"], "url", url) for url in served["urls"])


def _seconds(earlier: str, later: str) -> float:
    one, other = (datetime.datetime.fromisoformat(text.removesuffix("Z")) for text in (earlier, later))
    return (other - one).total_seconds()


def _found(
    facts: Facts, served: Served, identity: str, about: Certificate, confidence: t.Literal["proven", "likely"] = "proven",
    **more: str,
) -> Finding:  # fmt: skip
    """A finding about one of an endpoint's certificates."""
    evidence = {
        "endpoint": served["endpoint"], "name": served["name"], "issuer": about["issuer"], "subject": about["subject"],
        "serial": about["serial"], "not_after": about["not_after"], "not_before": about["not_before"],
        "names": ", ".join(about["names"][:5]) or about["subject"], "certificates": len(served["chain"]),
        "why": served["distrust"], **more,
    }  # fmt: skip
    return Finding(identity, confidence, _ref(facts, served), _links(facts, served), evidence)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _ascii(name: str) -> str:
    """A name as certificates have it (IDNA)."""
    try:
        return name.encode("idna").decode().lower()
    except UnicodeError:
        return name.lower()


def fits(name: str, pattern: str) -> bool:
    """Whether a name of a certificate is for a host: itself, or with ``*`` for its first label (RFC 6125).

    >>> fits("api.example.org", "*.example.org"), fits("a.b.example.org", "*.example.org"), fits("::1", "0:0:0:0:0:0:0:1")
    (True, False, True)
    """
    address = _address(name)
    if address is not None:
        return address == _address(pattern)
    wanted, given = _ascii(name).rstrip("."), pattern.lower().rstrip(".")
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
    """A certificate that is over, not yet begun, or over soon; one of its issuers' counts as well."""
    for served in _read(facts):
        yield _of_time(facts, served)


def _of_time(facts: Facts, served: Served) -> Observation:
    for one in served["chain"]:
        if _seconds(served["at"], one["not_after"]) < 0:
            return _found(facts, served, "tls.certificate_expired", one, ago=_told(_seconds(one["not_after"], served["at"])))
        if _seconds(served["at"], one["not_before"]) > 0:
            return _found(facts, served, "tls.certificate_not_yet_valid", one)
    if served["distrust_code"] in OVER:
        why = f"{served['distrust']}, and none that was shown then is; perhaps several servers stand there"
        return Gap(facts["system"], f"the certificate of {served['endpoint']}", why)
    first = min(served["chain"], key=lambda one: one["not_after"])
    left = _seconds(served["at"], first["not_after"])
    if left < facts["limits"]["days_left_min"] * DAY:
        return _found(facts, served, "tls.certificate_expires_soon", first, left=_told(left))
    until = f"{served['endpoint']} until {first['not_after'][:10]}"
    return RuledOut(facts["system"], "tls.certificate_expired", until)


def _told(seconds: float) -> str:
    return f"{seconds / DAY:.1f} days" if seconds >= DAY else f"{seconds / 3600:.1f} hours"


def names(facts: Facts) -> t.Iterator[Observation]:
    """A certificate that is for others. Where it is trusted, the handshake has compared the names already."""
    for served in _read(facts):
        leaf = served["chain"][0]
        fit = not _is_distrusted(served) or any(fits(served["name"], one) for one in leaf["names"])
        if served["distrust_code"] in OTHER_NAME or not fit:
            yield _found(facts, served, "tls.certificate_wrong_name", leaf)
        else:
            yield RuledOut(facts["system"], "tls.certificate_wrong_name", f"{served['endpoint']} is for {served['name']}")


def trust(facts: Facts) -> t.Iterator[Observation]:
    """A chain that ends where nobody here trusts it. A code that says something else leaves open whether it would be trusted."""
    for served in _read(facts):
        code, missing = served["distrust_code"], _missing(served)
        if code in NO_ISSUER and missing:
            yield _found(facts, served, "tls.chain_incomplete", served["chain"][0], "likely", missing=missing)
        elif code in NO_ISSUER or code in SELF_SIGNED:
            yield _found(facts, served, "tls.certificate_untrusted", served["chain"][0])
        elif not _is_distrusted(served):
            yield RuledOut(facts["system"], "tls.certificate_untrusted", f"{served['endpoint']} is trusted here")
        elif code not in (*OVER, *OTHER_NAME):
            yield Gap(
                facts["system"], f"whether {served['endpoint']} is trusted", f"{served['distrust']} (OpenSSL's code {code})"
            )


def _is_distrusted(served: Served) -> bool:
    return bool(served["distrust"] or served["failure"])


def _missing(served: Served) -> str:
    """The first issuer on the way up from the leaf whose certificate was not served; empty where one is its own issuer."""
    known = {one["subject"]: one for one in served["chain"]}
    one = served["chain"][0]
    for _step in served["chain"]:
        if one["is_own_issuer"]:
            return ""
        if one["issuer"] not in known:
            return one["issuer"]
        one = known[one["issuer"]]
    return ""


RULES = (unread, times, names, trust)
