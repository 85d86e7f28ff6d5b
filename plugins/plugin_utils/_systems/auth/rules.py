# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on what token_check_info saw (private to the collection; pure)."""

from __future__ import annotations

import datetime
import shlex
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._token.facts import Attempt, Claims, Keys
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
    "unsigned_other": "a token that says so in other letters (nOnE)",
    "stripped": "a token whose signature was taken away",
    "forged": "a token with a random signature",
    "unknown_key": "a token with a random signature of a key that nobody has",
}
# What a service says that does not know who asks (RFC 6750, 3.1); 403 may be a gateway that knows nobody.
REFUSED = {"400", "401", "403"}
# Whoever verifies a token allows for so many seconds between the clocks.
LEEWAY_SECONDS = 60.0
# So long after its end some still accept one: frameworks allow for 300 s, caches of gateways for an hour.
CACHED_SECONDS = 3700.0
DOOR, GOOD, KEYS, CLOCK = "the negative test", "the good token", "the issuer's keys", "the service's clock"


def answers(attempt: Attempt) -> str:
    """What came, in a few words: how often which status, and why none."""
    came = [f"{count} × HTTP {status}" for status, count in attempt["statuses"].items()]
    return ", ".join([*came, *(f"{count} × {why}" for why, count in attempt["failures"].items())]) or "no request was made"


def _of(facts: Facts, kind: str) -> Attempt | None:
    return next((one for one in facts["checked"]["attempts"] if one["kind"] == kind), None)


def _subject(facts: Facts) -> Ref:
    return Ref(facts["system"], "url", facts["checked"]["url"])


def _count(attempt: Attempt, statuses: t.Collection[str]) -> int:
    return sum(count for status, count in attempt["statuses"].items() if status in statuses)


def _time(moment: float) -> str:
    """A moment that a token tells; one that no calendar has stays a number."""
    try:
        return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{moment:g} s since 1970"


def _is_far(facts: Facts, seconds: float) -> bool:
    return abs(seconds) > facts["limits"]["clock_seconds_max"]


def _moments(facts: Facts) -> tuple[float, ...]:
    """What the time may be: by our clock, and by the issuer's; by the service's where the issuer told none."""
    checked = facts["checked"]
    keys, clocks = checked["keys"], checked["clocks"]
    if keys and keys["clock"] is not None:
        return (checked["now"], checked["now"] + keys["clock"])
    return (checked["now"], *((checked["now"] + clocks["least"], checked["now"] + clocks["most"]) if clocks else ()))


def _why_not_good(facts: Facts) -> str | None:
    """Why the good token may be none: it has expired by a clock that may be right."""
    claims = facts["checked"]["claims"]
    expires = claims["expires"] if claims else None
    if expires is None or max(_moments(facts)) <= expires + LEEWAY_SECONDS:
        return None
    by = "" if min(_moments(facts)) > expires + LEEWAY_SECONDS else " by one of the clocks, and they differ"
    return f"runbooks_auth_token expired at {_time(expires)}{by}: get a new one"


def door(facts: Facts) -> t.Iterator[Observation]:
    """What nobody signed must be refused, each time: behind one name there are several pods."""
    checked = facts["checked"]
    false = [one for one in checked["attempts"] if one["kind"] in WHAT]
    open_to = [f"{WHAT[one['kind']]} in {one['accepted']} of {one['requests']} requests" for one in false if one["accepted"]]
    unclear = [one for one in false if _count(one, REFUSED) < one["requests"]]
    good, again = _of(facts, "token"), _of(facts, "again")
    if open_to:
        # A URL that asks for no token, or answers 200 and refuses in the body, says nothing of how tokens are looked at.
        needs_none = any(one["kind"] == "none" and one["accepted"] for one in false)
        sure = checked["body_asked"] and not needs_none
        unsure = " (or it is a URL that needs none: then runbooks_auth_url is the wrong one)" if needs_none else ""
        evidence = {"url": checked["url"], "quoted": shlex.quote(checked["url"]), "what": "; ".join(open_to),
                    "unsure": unsure or ("" if sure else "; look once whether its body says otherwise")}  # fmt: skip
        yield Finding("auth.open_door", "proven" if sure else "likely", _subject(facts), evidence=evidence)
    elif not false:
        yield Gap(facts["system"], DOOR, "a good token is refused, or nothing answers, so no false ones were tried")
    elif unclear:
        why = "; ".join(f"{WHAT[one['kind']]}: {answers(one)}" for one in unclear)
        yield Gap(facts["system"], DOOR, f"{checked['url']} does not say what it thinks of what nobody signed ({why})")
    elif good is None or good["accepted"] < good["requests"] or checked["claims"] is None or _why_not_good(facts):
        why = (
            "what nobody signed is refused; without a good token (a JWT) that is accepted nobody knows whether for its signature"
        )
        yield Gap(facts["system"], DOOR, why)
    elif again is None or again["accepted"] < again["requests"]:
        told = answers(again) if again else "not tried"
        why = (
            f"after the false tokens the good one was not accepted either ({told}): whoever counts requests may have refused them"
        )
        yield Gap(facts["system"], DOOR, why)
    else:
        yield RuledOut(facts["system"], "auth.open_door", f"{checked['url']} refuses {', '.join(WHAT.values())}")


def expired(facts: Facts) -> t.Iterator[Observation]:
    """A token that expired long ago by all clocks, and is accepted."""
    attempt, claims = _of(facts, "token"), facts["checked"]["claims"]
    expires = claims["expires"] if claims else None
    if attempt is None or expires is None or not attempt["accepted"]:
        return
    ago = min(_moments(facts)) - expires
    if ago > CACHED_SECONDS:
        evidence = {"url": facts["checked"]["url"], "seconds": round(ago), "when": _time(expires)}
        yield Finding("auth.expired_accepted", "likely", _subject(facts), evidence=evidence)


def good_token(facts: Facts) -> t.Iterator[Observation]:
    """A good token is accepted, or users are refused."""
    attempt, checked, system = _of(facts, "token"), facts["checked"], facts["system"]
    if attempt is None:
        yield Gap(system, GOOD, "none is configured (runbooks_auth_token), so nobody knows whether one is accepted")
        return
    why, bad, again = _why_not_good(facts), _bad(attempt), _of(facts, "again")
    if why:
        yield Gap(system, GOOD, why)
    elif bad:
        reasons = answers(attempt)
        evidence = {"url": checked["url"], "refused": bad, "requests": attempt["requests"], "reasons": reasons}
        links = tuple(Ref(one, "system", one) for one in facts["depends_on"])
        yield Measured(system, checked["url"], "system")
        yield Finding("auth.token_refused", "proven", _subject(facts), links=links, evidence=evidence)
    elif attempt["accepted"] < attempt["requests"]:
        yield Gap(system, GOOD, f"{checked['url']} says neither yes nor no ({answers(attempt)}){_of_403(facts, attempt)}")
    elif again is not None and again["accepted"] < again["requests"]:
        yield Gap(
            system, GOOD, f"{checked['url']} accepted it at first, and not after the false tokens any more ({answers(again)})"
        )
    else:
        yield Measured(system, checked["url"], "system")
        if _not_tried(facts):
            yield Gap(system, GOOD, "it is accepted, and tokens that are signed with the issuer's other keys were not tried")
        else:
            yield RuledOut(system, "auth.token_refused", f"{checked['url']} accepts a good token, {attempt['requests']} times")


def _bad(attempt: Attempt) -> int:
    """How many requests were refused or came to nothing, at the service: 401, 5xx, no answer in time, nobody there."""
    failed = sum(count for status, count in attempt["statuses"].items() if status == "401" or status.startswith("5"))
    return failed + sum(count for why, count in attempt["failures"].items() if why in ("timed out", "connection refused"))


def _of_403(facts: Facts, attempt: Attempt) -> str:
    """What a 403 may mean."""
    if not attempt["statuses"].get("403"):
        return ""
    false = [one for one in (_of(facts, "none"), _of(facts, "garbage")) if one]
    if false and all(one["statuses"].get("401") == one["requests"] for one in false):
        return ": its user is known and may not read this; name a URL that it may read"
    return ": a gateway that knows nobody, or a user who may not read this"


def _not_tried(facts: Facts) -> bool:
    """Whether the issuer has keys that signed no token here."""
    keys = facts["checked"]["keys"]
    return keys is not None and keys["named"] + keys["unnamed"] > (1 if keys["has"] else 0)


def _is_refused(facts: Facts) -> bool:
    """Whether a good token was answered with 401, and with nothing else that is bad."""
    attempt = _of(facts, "token")
    return attempt is not None and not _why_not_good(facts) and 0 < _bad(attempt) == attempt["statuses"].get("401", 0)


def issuer_keys(facts: Facts) -> t.Iterator[Observation]:
    """The key that signed the good token must be among those that its issuer publishes."""
    keys, claims = facts["checked"]["keys"], facts["checked"]["claims"]
    if keys is None:
        return
    why = _why_unknown(keys, claims) or _why_not_good(facts)
    if why or claims is None or claims["kid"] is None:
        yield Gap(facts["system"], KEYS, f"{keys['url']}: {why}")
    elif keys["has"]:
        yield RuledOut(facts["system"], "auth.key_unknown", f"the issuer publishes a key of the name {claims['kid']}")
        if _is_refused(facts):
            evidence = {"url": facts["checked"]["url"], "kid": claims["kid"], "keys": keys["url"]}
            yield Finding("auth.keys_not_fetched", "possible", _subject(facts), evidence=evidence)
    else:
        # Where the token is accepted still, the service remembers the key, and refuses it once it looks again.
        evidence = {"kid": claims["kid"], "keys": keys["url"], "known": str(keys["named"])}
        good = _of(facts, "token")
        seen = _is_refused(facts) or (good is not None and good["accepted"] == good["requests"])
        confidence: Confidence = "proven" if seen else "possible"
        yield Finding("auth.key_unknown", confidence, _subject(facts), evidence=evidence)


def _why_unknown(keys: Keys, claims: Claims | None) -> str | None:
    """Why nobody can say whether the token's key is among the published ones."""
    if keys["refusal"]:
        return keys["refusal"]
    if claims is None or claims["kid"] is None:
        return "there is no good token that names the key which signed it"
    if (claims["issuer"] or "").rstrip("/") != keys["issuer"].rstrip("/"):
        return f"the token says that another issuer made it, {claims['issuer']}"
    if (claims["algorithm"] or "none").upper()[:2] in ("HS", "NO"):
        return f"the token is signed with {claims['algorithm']}, whose keys nobody publishes"
    if keys["unnamed"] and not keys["has"]:
        return f"{keys['unnamed']} of its keys have no name"
    return None


def clock(facts: Facts) -> t.Iterator[Observation]:
    """Where the service's clock differs from ours, a token may not be valid yet, or not any more, for the service alone."""
    checked = facts["checked"]
    clocks, keys, claims = checked["clocks"], checked["keys"], checked["claims"]
    if clocks is None:
        yield Gap(facts["system"], CLOCK, "it sends no Date header that can be read")
        return
    ahead = max(clocks["least"], clocks["most"], key=abs)
    if not _is_far(facts, clocks["least"]) and not _is_far(facts, clocks["most"]):
        yield RuledOut(facts["system"], "auth.clock_off", f"its clock and ours differ by {abs(ahead):g} s")
        return
    issuer = keys["clock"] if keys else None
    if issuer is not None and _is_far(facts, issuer):
        yield Gap(
            facts["system"], CLOCK, f"it differs from ours by {abs(ahead):g} s, the issuer's by {abs(issuer):g} s: see ours first"
        )
        return
    there = checked["now"] + (ahead if clocks["refusing"] is None else clocks["refusing"])
    why = _out_of_time(claims, there) if claims else None
    # Two clocks against one: the issuer's agrees with ours.
    sure = why is not None and issuer is not None and clocks["refusing"] is not None and _is_refused(facts)
    evidence = {
        "url": checked["url"],
        "seconds": f"{abs(ahead):g}",
        "which": "ahead of" if ahead > 0 else "behind",
        "why": why or "no token that was tried is out of its time because of that",
    }
    yield Finding("auth.clock_off", "likely" if sure else "possible", _subject(facts), evidence=evidence)


def _out_of_time(claims: Claims, there: float) -> str | None:
    """Why a token is not valid at a time that another clock shows, whatever is allowed for."""
    begins, expires = claims["not_before"], claims["expires"]
    if begins is not None and there + LEEWAY_SECONDS < begins:
        return f"by that clock the token becomes valid in {begins - there:.0f} s"
    if expires is not None and expires + LEEWAY_SECONDS < there:
        return f"by that clock the token expired {there - expires:.0f} s ago"
    return None


RULES = (door, expired, good_token, issuer_keys, clock)
