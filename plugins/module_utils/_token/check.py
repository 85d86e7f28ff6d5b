# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying a URL with good and false tokens, and asking the issuer which keys it signs with (private).

Sources: RFC 6750 (Bearer tokens), RFC 7519 (JSON Web Token), RFC 7517 (keys), OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import base64
import binascii
import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import email.utils
import http.client
import json
import re
import secrets
import socket
import time
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import is_loopback
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import (
    Wanted,
    connection,
    matches,
    pattern_of,
    problem_with,
    read_at_most,
    target,
    why_not,
)
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._token.facts import Attempt, Checked, Claims, Clocks, Keys, Kind
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

BODY_LIMIT = 262_144
LONGEST_NAME = 200
AT_ONCE = 5
REFUSED = 401
# Nobody's signature, and nobody's token: what a service accepts of these it does not verify.
FALSE: tuple[Kind, ...] = ("none", "garbage", "unsigned", "unsigned_other", "stripped", "forged", "unknown_key")
# Which keys verify what an algorithm signs, by the letters that it begins with (RFC 7518, 3.1 and 6.1; RFC 8037).
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "ED": "OKP"}
Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A status with its headers' date and its body, or why none came."""

    status: int | None
    date: str | None = None
    body: bytes = b""
    failure: str | None = None


class Get(t.Protocol):
    """One GET of an address, with a token or none, and with its body or without."""

    def __call__(self, url: str, token: str | None, wanted: Wanted, with_body: bool, /) -> Answer: ...


def get(url: str, token: str | None, wanted: Wanted, with_body: bool) -> Answer:
    """One GET on a connection of its own, over in time. Redirects are not followed: the token goes nowhere else."""
    link = connection(url, wanted)

    def ask() -> Answer:
        headers = {"User-Agent": "sre.runbooks", "Accept": "application/json, */*"}
        headers |= {"Authorization": f"Bearer {token}"} if token is not None else {}
        link.request("GET", target(url), headers=headers)
        answer = link.getresponse()
        # What a cache kept has the time of then.
        date = None if answer.getheader("Age") else answer.getheader("Date")
        return Answer(answer.status, date, read_at_most(answer, BODY_LIMIT) if with_body else b"")

    try:
        return within(wanted.timeout, ask)
    except (OSError, LateError, http.client.HTTPException) as error:
        return Answer(None, failure=why_not(error))
    except ValueError:
        return Answer(None, failure="its address or its answer is malformed")
    finally:
        _hang_up(link)


def _hang_up(link: http.client.HTTPConnection) -> None:
    """Ends a connection also under a thread that still reads from it."""
    with contextlib.suppress(OSError, AttributeError):
        link.sock.shutdown(socket.SHUT_RDWR)
    link.close()


def _part(value: Json) -> str:
    return (
        base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace"))
        .rstrip(b"=")
        .decode()
    )


def _read(part: str) -> Json | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    # A lone surrogate is a text in JSON, and nowhere else.
    return value[:LONGEST_NAME].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _moment(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12 else None


def claims_of(token: str) -> Claims | None:
    """What a JSON Web Token says of itself, without looking at its signature; None for another kind of token.

    >>> claims_of("an-opaque-token") is None
    True
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, body = _read(parts[0]), _read(parts[1])
    if header is None or body is None:
        return None
    return {
        "kid": _text(header.get("kid")),
        "algorithm": _text(header.get("alg")),
        "issuer": _text(body.get("iss")),
        "issued": _moment(body.get("iat")),
        "not_before": _moment(body.get("nbf")),
        "expires": _moment(body.get("exp")),
    }


def kid_of(token: str) -> str | None:
    """The whole name of the key that signed a token."""
    kid = (_read(token.split(".")[0]) or {}).get("kid")
    return kid if isinstance(kid, str) else None


def false_token(kind: Kind, token: str | None, now: float) -> str | None:
    """A token that nobody signed: with the good one's own words where there is one, so that only its signature is wrong."""
    if kind == "none":
        return None
    if kind == "garbage":
        return f"not-a-token-{secrets.token_hex(16)}"
    parts = token.split(".") if token is not None and claims_of(token) else []
    header = (_read(parts[0]) if parts else None) or {"alg": "HS256", "typ": "JWT"}
    body = parts[1] if parts else _part({"sub": "sre.runbooks-negative-test", "iat": int(now), "exp": int(now) + 300})
    head = parts[0] if parts else _part(header)
    if kind in ("unsigned", "unsigned_other"):
        return f"{_part({**header, 'alg': 'none' if kind == 'unsigned' else 'nOnE'})}.{body}."
    if kind == "stripped":
        return f"{head}.{body}."
    length = len(parts[2]) * 3 // 4 if parts else 32
    signature = base64.urlsafe_b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
    head = _part({**header, "kid": f"sre.runbooks-{secrets.token_hex(8)}"}) if kind == "unknown_key" else head
    return f"{head}.{body}.{signature}"


def check(
    url: str,
    token: str | None,
    keys: t.Sequence[str],
    wanted: Wanted,
    *,
    get_one: Get = get,
    clock: t.Callable[[], float] = time.time,
) -> Checked:
    """The URL tried with every kind of token, ``wanted.requests`` times each: behind one name there may be several pods.

    ``keys``: the issuer's address or, second, that of its keys. Where the good token is refused, no false one is tried: what the
    service logs of these would stand among the lines that tell of users. Nor where nothing answers: the verdict would wait.
    """
    now = clock()
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:

        def tried(tokens: t.Mapping[Kind, str | None]) -> dict[Kind, list[Timed]]:
            asked = {
                kind: [
                    pool.submit(_timed, get_one, url, one, wanted, wanted.body_pattern is not None, clock)
                    for _number in range(wanted.requests)
                ]
                for kind, one in tokens.items()
            }
            return {kind: [one.result() for one in several] for kind, several in asked.items()}

        claims = claims_of(token) if token else None
        key = Key(kid_of(token) if token else None, (claims["algorithm"] if claims else None) or "")
        published = pool.submit(published_keys, keys, key, wanted, get_one, clock) if keys else None
        answers = tried({"token": token} if token else {})
        statuses = {one.answer.status for one in answers.get("token", [])}
        if REFUSED not in statuses and statuses != {None}:
            answers |= tried({kind: false_token(kind, token, now) for kind in FALSE})
            # Whoever counts requests refuses everything after some, and that says nothing of the false ones.
            answers |= tried({"again": token} if token else {})
        return {
            "url": url,
            "attempts": [_attempt(kind, [one.answer for one in several], wanted) for kind, several in answers.items()],
            "claims": claims,
            "clocks": _clocks([one for several in answers.values() for one in several], answers.get("token", [])),
            "keys": published.result() if published else None,
            "now": now,
            "body_asked": wanted.body_pattern is not None,
        }


@dataclasses.dataclass(frozen=True)
class Timed:
    """An answer, and by how many seconds its clock was ahead of ours in the middle of the request (None where it told none)."""

    answer: Answer
    ahead: float | None


def _timed(get_one: Get, url: str, token: str | None, wanted: Wanted, with_body: bool, clock: t.Callable[[], float]) -> Timed:
    started = clock()
    answer = get_one(url, token, wanted, with_body)
    middle = (started + clock()) / 2
    try:
        date = email.utils.parsedate_to_datetime(answer.date) if answer.date else None
        # Without a zone it is in UTC (RFC 9110, 5.6.7), not in that of this machine. It tells whole seconds, cut off: half of one
        # is what it lacks on the average.
        ahead = (
            None
            if date is None
            else round((date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp() + 0.5 - middle, 1)
        )
    except (ValueError, TypeError, OverflowError):
        ahead = None
    return Timed(answer, ahead)


def _clocks(every: t.Sequence[Timed], good: t.Sequence[Timed]) -> Clocks | None:
    known = [one.ahead for one in every if one.ahead is not None]
    refusing = [one.ahead for one in good if one.ahead is not None and one.answer.status == REFUSED]
    return {"least": min(known), "most": max(known), "refusing": max(refusing, key=abs, default=None)} if known else None


def _attempt(kind: Kind, answers: t.Sequence[Answer], wanted: Wanted) -> Attempt:
    statuses = collections.Counter(str(one.status) for one in answers if one.status is not None)
    failures = collections.Counter(one.failure for one in answers if one.failure)
    return {
        "kind": kind,
        "requests": len(answers),
        "accepted": sum(_is_accepted(one, wanted) for one in answers),
        "statuses": dict(sorted(statuses.items())),
        "failures": dict(sorted(failures.items())),
    }


def _is_accepted(answer: Answer, wanted: Wanted) -> bool:
    """Some services answer 200 and say in the body that they refuse: there only the body tells."""
    if answer.status is None or not 200 <= answer.status < 300:
        return False
    return matches(wanted.body_pattern, answer.body)


@dataclasses.dataclass(frozen=True)
class Key:
    """What a token says of the key that signed it."""

    kid: str | None
    algorithm: str

    def may_be(self, one: Json) -> bool:
        """Whether a published key has the name, and can verify what the algorithm signs."""
        kind = KEY_TYPES.get(self.algorithm.upper()[:2])
        fits = kind is None or one.get("kty") in (None, kind)
        return one.get("kid") == self.kid and fits and one.get("use") in (None, "sig")


def published_keys(
    where: t.Sequence[str], key: Key, wanted: Wanted, get_one: Get, clock: t.Callable[[], float] = time.time
) -> Keys:
    """Whether an issuer publishes a key; ``where``: its address, or that and the address of its keys. No word of its answer is
    returned: one who knows the token could give it back in pieces, as the names of keys."""
    issuer, url = where[0], where[1] if len(where) > 1 else ""
    found: Keys = {"issuer": issuer, "url": url or issuer, "has": None, "named": 0, "unnamed": 0, "refusal": None, "clock": None}
    if not url:
        told, refusal, found["clock"] = _document(
            f"{issuer.rstrip('/')}/.well-known/openid-configuration", wanted, get_one, clock
        )
        url = str(told.get("jwks_uri") or "")
        refusal = refusal or _elsewhere(issuer, told, url)
        if refusal:
            return {**found, "refusal": refusal}
    told, refusal, found["clock"] = _document(url, wanted, get_one, clock)
    listed = told.get("keys")
    if refusal or not isinstance(listed, list):
        return {**found, "refusal": refusal or "its answer has no list of keys"}
    names = [one.get("kid") if isinstance(one, dict) else None for one in listed]
    named = {one for one in names if isinstance(one, str)}
    unnamed = sum(not isinstance(one, str) for one in names)
    has = None if key.kid is None else any(key.may_be(one) for one in listed if isinstance(one, dict))
    return {**found, "has": has, "named": len(named), "unnamed": unnamed}


def _document(url: str, wanted: Wanted, get_one: Get, clock: t.Callable[[], float]) -> tuple[Json, str | None, float | None]:
    """A JSON object, or why there is none, and the clock of who answered."""
    told = _timed(get_one, url, None, wanted, True, clock)
    if told.answer.status != 200:
        return {}, told.answer.failure or f"HTTP {told.answer.status}", told.ahead
    try:
        found = json.loads(told.answer.body)
    except (ValueError, RecursionError):
        return {}, "its answer is no JSON", told.ahead
    return (found, None, told.ahead) if isinstance(found, dict) else ({}, "its answer is no JSON object", told.ahead)


def _elsewhere(issuer: str, found: Json, url: str) -> str | None:
    """What an issuer's document says is followed to its own host only: whoever writes it chooses where we go otherwise."""
    if str(found.get("issuer") or "").rstrip("/") != issuer.rstrip("/"):
        return "its document says that it is another issuer's"
    if problem_with(url):
        return "its document names no address of keys"
    here, there = urllib.parse.urlsplit(issuer), urllib.parse.urlsplit(url)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        return "its keys are on another host: name their address (runbooks_auth_keys_url)"
    return None


def argument_spec() -> Spec:
    """The options of token_check_info."""
    return {
        "url": {"type": "str", "required": True},
        "token": {"type": "str", "no_log": True},
        "issuer": {"type": "str"},
        "keys_url": {"type": "str", "no_log": False},
        "body_pattern": {"type": "str"},
        "requests": {"type": "int", "default": 5},
        "timeout": {"type": "float", "default": 2.0},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }


def check_from(params: t.Mapping[str, t.Any], get_one: Get = get) -> Checked:
    """What a module's options ask for. Raises ValueError for an address or a token that cannot be sent."""
    for name in ("url", "issuer", "keys_url"):
        problem = params[name] and problem_with(params[name])
        if problem:
            shown = "it" if "@" in params[name] else repr(params[name])  # a password may stand before that
            raise ValueError(f"{name}: {shown} cannot be asked: {problem}")
    if params["keys_url"] and not params["issuer"]:
        raise ValueError("keys_url: whose keys they are is missing (issuer)")
    if params["requests"] < 1:
        raise ValueError(f"requests: without one nothing is known, so {params['requests']} are too few")
    token = params["token"] or None
    if token and not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise ValueError("token: it has a character that no Bearer token has (a blank, a line's end, a quote)")
    for name in ("url", "issuer", "keys_url"):
        if params[name] and urllib.parse.urlsplit(params[name]).scheme != "https" and not is_loopback(params[name]):
            raise ValueError(f"{name}: tokens and keys go over https:// only, or to this machine, not to {params[name]!r}")
    same = ("requests", "timeout", "validate_certs", "ca_path")
    wanted = Wanted(body_pattern=pattern_of(params["body_pattern"]), **{name: params[name] for name in same})
    keys = [one for one in (params["issuer"], params["keys_url"]) if one]
    return check(params["url"], token, keys, wanted, get_one=get_one)
