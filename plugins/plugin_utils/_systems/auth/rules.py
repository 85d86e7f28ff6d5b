# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on what token_check_info saw (private to the collection; pure)."""

from __future__ import annotations

import datetime
import shlex
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import UNRESOLVED
from ansible_collections.sre.runbooks.plugins.module_utils._token.facts import Attempt, Claims
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.auth.facts import Facts

WHAT = {
    "none": "no token at all",
    "garbage": "a random text",
    "unsigned": "a token that says it needs no signature",
    "forged": "a token with a random signature",
    "expired": "a token that has expired",
}
# What a service says that does not know who asks: RFC 6750, 3.1. 403 is the answer to somebody who is known.
REFUSED = {"400", "401"}
# The time of a token is looked at by two clocks; services allow for so many seconds between them.
LEEWAY_SECONDS = 60.0
DOOR, GOOD, KEYS = "the negative test", "the good token", "the issuer's keys"


def answers(attempt: Attempt) -> str:
    """What came, in a few words: how often which status, and why none."""
    came = [f"{count} × HTTP {status}" for status, count in attempt["statuses"].items()]
    return ", ".join([*came, *(f"{count} × {why}" for why, count in attempt["failures"].items())]) or "no request was made"


def _accepted(attempt: Attempt) -> int:
    return sum(count for status, count in attempt["statuses"].items() if status.startswith("2"))


def _of(facts: Facts, kind: str) -> Attempt | None:
    return next((one for one in facts["checked"]["attempts"] if one["kind"] == kind), None)


def _subject(facts: Facts) -> Ref:
    return Ref(facts["system"], "url", facts["checked"]["url"])


def _time(moment: float) -> str:
    """A moment that a token tells; one that no calendar has stays a number."""
    try:
        return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{moment:g} s since 1970"


def _expired(facts: Facts) -> float | None:
    """When the good token expired, by our clock and by the service's; None while it is good."""
    claims = facts["checked"]["claims"]
    expires = claims["expires"] if claims else None
    latest = facts["checked"]["now"] + min(0.0, facts["checked"]["clock"] or 0.0)
    return expires if expires is not None and expires + LEEWAY_SECONDS < latest else None


def door(facts: Facts) -> t.Iterator[Observation]:
    """What nobody signed must be refused, each time: behind one name there are several pods."""
    false = [one for one in facts["checked"]["attempts"] if one["kind"] != "token"]
    open_to = [(WHAT[one["kind"]], _accepted(one), one["requests"]) for one in false if _accepted(one)]
    good = _of(facts, "token")
    if good is not None and _expired(facts) is not None and _accepted(good):
        open_to.append((WHAT["expired"], _accepted(good), good["requests"]))
    if open_to:
        # A URL that asks for no token says nothing of how tokens are looked at.
        needs_none = any(one["kind"] == "none" and _accepted(one) for one in false)
        what = "; ".join(f"{what} in {count} of {requests} requests" for what, count, requests in open_to)
        unsure = " (or it is a URL that needs none: then runbooks_auth_url is the wrong one)" if needs_none else ""
        url = facts["checked"]["url"]
        evidence = {"url": url, "quoted": shlex.quote(url), "what": what, "unsure": unsure}
        yield Finding("auth.open_door", "likely" if needs_none else "proven", _subject(facts), evidence=evidence)
        return
    unclear = [one for one in false if sum(one["statuses"].get(status, 0) for status in REFUSED) < one["requests"]]
    if not false:
        yield Gap(facts["system"], DOOR, "a good token is refused, so no false ones were tried: they would stand in the same log")
    elif unclear:
        why = "; ".join(f"{WHAT[one['kind']]}: {answers(one)}" for one in unclear)
        yield Gap(facts["system"], DOOR, f"{facts['checked']['url']} does not say what it thinks of what nobody signed ({why})")
    else:
        yield RuledOut(facts["system"], "auth.open_door", f"{facts['checked']['url']} refuses what nobody signed")


def good_token(facts: Facts) -> t.Iterator[Observation]:
    """A good token is accepted, or users are refused."""
    attempt, url = _of(facts, "token"), facts["checked"]["url"]
    if attempt is None:
        yield Gap(facts["system"], GOOD, "none is configured (runbooks_auth_token), so nobody knows whether one is accepted")
        return
    expired = _expired(facts)
    if expired is not None:
        yield Gap(facts["system"], GOOD, f"runbooks_auth_token expired at {_time(expired)}: get a new one")
    elif _never_left(attempt):
        yield Gap(facts["system"], GOOD, f"{answers(attempt)} from here: its DNS or VPN, or the address in the inventory")
    elif attempt["statuses"].get("403"):
        yield Gap(facts["system"], GOOD, f"its user is known and may not read {url} (HTTP 403): name a URL that it may read")
    elif _accepted(attempt) == attempt["requests"]:
        yield Measured(facts["system"], url, "system")
        yield RuledOut(facts["system"], "auth.token_refused", f"{url} accepts a good token, {attempt['requests']} times")
    else:
        yield Measured(facts["system"], url, "system")
        refused = attempt["requests"] - _accepted(attempt)
        evidence = {"url": url, "refused": refused, "requests": attempt["requests"], "reasons": answers(attempt)}
        links = tuple(Ref(system, "system", system) for system in facts["depends_on"])
        yield Finding("auth.token_refused", "proven", _subject(facts), links=links, evidence=evidence)


def _never_left(attempt: Attempt) -> bool:
    return attempt["failures"].get(UNRESOLVED) == attempt["requests"]


def _is_refused(facts: Facts) -> bool:
    """Whether a good token was answered with 401, at least once."""
    attempt = _of(facts, "token")
    return attempt is not None and _expired(facts) is None and bool(attempt["statuses"].get("401"))


def issuer_keys(facts: Facts) -> t.Iterator[Observation]:
    """The key that signed the good token must be among those that its issuer publishes."""
    keys, claims = facts["checked"]["keys"], facts["checked"]["claims"]
    if keys is None:
        return
    if keys["refusal"]:
        yield Gap(facts["system"], KEYS, f"{keys['url']}: {keys['refusal']}")
        return
    kid = claims["kid"] if claims else None
    if kid is None:
        yield Gap(facts["system"], KEYS, "there is no good token that names the key which signed it")
    elif kid in keys["kids"]:
        yield RuledOut(facts["system"], "auth.key_unknown", f"the issuer publishes the key {kid}")
        if _is_refused(facts):
            evidence = {"url": facts["checked"]["url"], "kid": kid, "keys": keys["url"]}
            yield Finding("auth.keys_not_fetched", "possible", _subject(facts), evidence=evidence)
    else:
        # Where the token is accepted still, the service remembers the key, and refuses it once it looks again.
        evidence = {"kid": kid, "keys": keys["url"], "known": ", ".join(keys["kids"][:5]) or "none"}
        yield Finding("auth.key_unknown", "proven", _subject(facts), evidence=evidence)


def clock(facts: Facts) -> t.Iterator[Observation]:
    """Where the service's clock differs from ours, a token may not be valid yet, or not any more, for the service alone."""
    offset, claims = facts["checked"]["clock"], facts["checked"]["claims"]
    if offset is None:
        yield Gap(facts["system"], "the service's clock", "it sends no Date header that can be read")
        return
    if abs(offset) <= facts["limits"]["clock_seconds_max"]:
        yield RuledOut(facts["system"], "auth.clock_off", f"its clock and ours differ by {abs(offset):g} s")
        return
    why = _out_of_time(claims, facts["checked"]["now"] + offset) if claims else None
    confidence: Confidence = "likely" if why and _is_refused(facts) else "possible"
    evidence = {
        "url": facts["checked"]["url"],
        "seconds": abs(offset),
        "which": "ahead of" if offset > 0 else "behind",
        "why": why or "no token that was tried is out of its time because of that",
    }
    yield Finding("auth.clock_off", confidence, _subject(facts), evidence=evidence)


def _out_of_time(claims: Claims, there: float) -> str | None:
    """Why a token is not valid at a time that another clock shows."""
    begins = max((one for one in (claims["not_before"], claims["issued"]) if one is not None), default=None)
    if begins is not None and there < begins:
        return f"by that clock the token becomes valid in {begins - there:.0f} s"
    if claims["expires"] is not None and claims["expires"] < there:
        return f"by that clock the token expired {there - claims['expires']:.0f} s ago"
    return None


RULES = (door, good_token, issuer_keys, clock)
