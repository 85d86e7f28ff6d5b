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
import dataclasses
import email.utils
import http.client
import ipaddress
import json
import re
import secrets
import time
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import Wanted, connection, problem_with, target, why_not
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._token.facts import Attempt, Checked, Claims, Keys, Kind
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

BODY_LIMIT = 262_144
MOST_KEYS = 100
LONGEST_NAME = 200
AT_ONCE = 5
REFUSED = 401
# Nobody's signature, and nobody's token: what a service accepts of these it does not verify.
FALSE: tuple[Kind, ...] = ("none", "garbage", "unsigned", "forged")
Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A status with its headers' date and its body, or why none came."""

    status: int | None
    date: str | None = None
    body: bytes = b""
    failure: str | None = None


Get = t.Callable[[str, str | None, Wanted], Answer]


def get(url: str, token: str | None, wanted: Wanted) -> Answer:
    """One GET on a connection of its own, over in time. Redirects are not followed: the token goes nowhere else."""

    def ask() -> Answer:
        headers = {"User-Agent": "sre.runbooks", "Accept": "application/json, */*"}
        headers |= {"Authorization": f"Bearer {token}"} if token is not None else {}
        link = connection(url, wanted)
        try:
            link.request("GET", target(url), headers=headers)
            answer = link.getresponse()
            return Answer(answer.status, answer.getheader("Date"), answer.read(BODY_LIMIT))
        finally:
            link.close()

    try:
        return within(wanted.timeout, ask)
    except (OSError, LateError, http.client.HTTPException) as error:
        return Answer(None, failure=why_not(error))
    except ValueError:  # an address that the issuer wrote
        return Answer(None, failure="its address cannot be asked")


def _part(value: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _read(part: str) -> Json | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value[:LONGEST_NAME] if isinstance(value, str) else None


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


def false_token(kind: Kind, token: str | None, now: float) -> str | None:
    """A token that nobody signed: with the good one's own words where there is one, so that only its signature is wrong."""
    if kind == "none":
        return None
    if kind == "garbage":
        return f"not-a-token-{secrets.token_hex(16)}"
    parts = token.split(".") if token is not None and claims_of(token) else []
    header = (_read(parts[0]) if parts else None) or {"alg": "HS256", "typ": "JWT"}
    body = parts[1] if parts else _part({"sub": "sre.runbooks-negative-test", "iat": int(now), "exp": int(now) + 300})
    if kind == "unsigned":
        return f"{_part({**header, 'alg': 'none'})}.{body}."
    length = len(parts[2]) * 3 // 4 if parts else 32
    signature = base64.urlsafe_b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
    return f"{parts[0] if parts else _part(header)}.{body}.{signature}"


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
    service logs of these would stand among the lines that tell of users.
    """
    now = clock()
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:

        def tried(tokens: t.Mapping[Kind, str | None]) -> dict[Kind, list[tuple[Answer, float | None]]]:
            asked = {
                kind: [pool.submit(_timed, get_one, url, one, wanted, clock) for _number in range(wanted.requests)]
                for kind, one in tokens.items()
            }
            return {kind: [one.result() for one in several] for kind, several in asked.items()}

        published = pool.submit(published_keys, keys, wanted, get_one) if keys else None
        answers = tried({"token": token} if token else {})
        refused = any(answer.status == REFUSED for several in answers.values() for answer, _offset in several)
        answers |= {} if refused else tried({kind: false_token(kind, token, now) for kind in FALSE})
        clocks = sorted(offset for several in answers.values() for _answer, offset in several if offset is not None)
        return {
            "url": url,
            "attempts": [_attempt(kind, [answer for answer, _offset in several]) for kind, several in answers.items()],
            "claims": claims_of(token) if token else None,
            "clock": round(clocks[len(clocks) // 2], 1) if clocks else None,
            "keys": published.result() if published else None,
            "now": now,
        }


def _timed(
    get_one: Get, url: str, token: str | None, wanted: Wanted, clock: t.Callable[[], float]
) -> tuple[Answer, float | None]:
    """An answer, and by how much its clock is ahead of ours in the middle of the request."""
    started = clock()
    answer = get_one(url, token, wanted)
    middle = (started + clock()) / 2
    try:
        date = email.utils.parsedate_to_datetime(answer.date).timestamp() if answer.date else None
    except (ValueError, TypeError, OverflowError):
        date = None
    # The header tells whole seconds, cut off: half of one is what it lacks on the average.
    return answer, None if date is None else date + 0.5 - middle


def _attempt(kind: Kind, answers: t.Sequence[Answer]) -> Attempt:
    statuses = collections.Counter(str(one.status) for one in answers if one.status is not None)
    failures = collections.Counter(one.failure for one in answers if one.failure)
    return {
        "kind": kind,
        "requests": len(answers),
        "statuses": dict(sorted(statuses.items())),
        "failures": dict(sorted(failures.items())),
    }


def published_keys(where: t.Sequence[str], wanted: Wanted, get_one: Get) -> Keys:
    """The names of the keys that an issuer publishes; ``where``: its address, or that and the address of its keys."""
    issuer, url = where[0], where[1] if len(where) > 1 else ""
    if not url:
        place = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        found, refusal = _document(place, wanted, get_one)
        url = str(found.get("jwks_uri") or "")
        refusal = refusal or _elsewhere(issuer, found, url)
        if refusal:
            return {"url": place, "kids": [], "refusal": refusal}
    found, refusal = _document(url, wanted, get_one)
    listed = found.get("keys")
    if not refusal and not isinstance(listed, list):
        refusal = "its answer has no list of keys"
    kids = [_text(one.get("kid")) for one in listed[:MOST_KEYS] if isinstance(one, dict)] if isinstance(listed, list) else []
    return {"url": url, "kids": sorted({one for one in kids if one}), "refusal": refusal}


def _document(url: str, wanted: Wanted, get_one: Get) -> tuple[Json, str | None]:
    answer = get_one(url, None, wanted)
    if answer.status != 200:
        return {}, answer.failure or f"HTTP {answer.status}"
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}, "its answer is no JSON"
    return (found, None) if isinstance(found, dict) else ({}, "its answer is no JSON object")


def _elsewhere(issuer: str, found: Json, url: str) -> str | None:
    """What an issuer's document says is followed to its own host only: whoever writes it chooses where we go otherwise."""
    if str(found.get("issuer") or "").rstrip("/") != issuer.rstrip("/"):
        return f"its document is that of another issuer, {_text(str(found.get('issuer')))!r}"
    if problem_with(url):
        return "its document names no address of keys"
    here, there = urllib.parse.urlsplit(issuer), urllib.parse.urlsplit(url)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        return f"its keys are on another host, {there.netloc[:LONGEST_NAME]}: name their address (runbooks_auth_keys_url)"
    return None


def is_safe(url: str) -> bool:
    """Whether a token may be sent there: over TLS, or to this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def argument_spec() -> Spec:
    """The options of token_check_info."""
    return {
        "url": {"type": "str", "required": True},
        "token": {"type": "str", "no_log": True},
        "issuer": {"type": "str"},
        "keys_url": {"type": "str", "no_log": False},
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
            raise ValueError(f"{name}: {params[name]!r} cannot be asked: {problem}")
    if params["keys_url"] and not params["issuer"]:
        raise ValueError("keys_url: whose keys they are is missing (issuer)")
    token = (params["token"] or "").strip() or None
    if token and not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise ValueError("token: it has a character that no Bearer token has (a blank, a line's end, a quote)")
    if not is_safe(params["url"]):
        raise ValueError(f"url: a token is sent over https:// only, or to this machine, not to {params['url']!r}")
    same = ("requests", "timeout", "validate_certs", "ca_path")
    wanted = Wanted(**{name: params[name] for name in same})
    keys = [one for one in (params["issuer"], params["keys_url"]) if one]
    return check(params["url"], token, keys, wanted, get_one=get_one)
