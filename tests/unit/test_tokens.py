"""Good and false tokens: what is sent, and what is thought of what comes."""

from __future__ import annotations

import base64
import collections
import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import Wanted
from ansible_collections.sre.runbooks.plugins.module_utils._token.check import Answer, check_from, claims_of, false_token
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import observe
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

Json = dict[str, t.Any]
NOW = 1_800_000_000.0
URL, ISSUER = "https://api.example.org/me", "https://login.example.org"


def part(value: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


TOKEN = f"{part({'alg': 'RS256', 'kid': 'key-1'})}.{part({'iss': ISSUER, 'sub': 'user-7', 'exp': NOW + 600})}.{'s' * 342}"
SPEC: Json = {
    "url": URL, "token": TOKEN, "issuer": None, "keys_url": None, "requests": 3, "timeout": 2.0, "validate_certs": True, "ca_path": None,
}  # fmt: skip


def kind_of(token: str | None) -> str:
    if token is None or token == TOKEN:
        return "none" if token is None else "token"
    if token.startswith("not-a-token"):
        return "garbage"
    return "unsigned" if token.endswith(".") else "forged"


class Service:
    """Answers by kind of token, and publishes what it is told to; remembers what was asked."""

    def __init__(self, accepts: t.Collection[str] = ("token",), documents: t.Mapping[str, t.Any] | None = None) -> None:
        self.accepts, self.documents = accepts, documents or {}
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, url: str, token: str | None, wanted: Wanted) -> Answer:
        self.asked.append((url, token))
        if url != URL:
            found = self.documents.get(url)
            return (
                Answer(404)
                if found is None
                else Answer(200, None, found if isinstance(found, bytes) else json.dumps(found).encode())
            )
        return Answer(200 if kind_of(token) in self.accepts else 401)


def test_every_kind_of_token_is_tried_as_often_as_asked() -> None:
    service = Service()
    checked = check_from(SPEC, service)
    counted = collections.Counter(kind_of(token) for _url, token in service.asked)
    assert counted == dict.fromkeys(("token", "none", "garbage", "unsigned", "forged"), 3)
    assert [(one["kind"], one["statuses"]) for one in checked["attempts"]] == [
        ("token", {"200": 3}), ("none", {"401": 3}), ("garbage", {"401": 3}), ("unsigned", {"401": 3}), ("forged", {"401": 3}),
    ]  # fmt: skip


def test_where_a_good_token_is_refused_no_false_one_is_sent() -> None:
    service = Service(accepts=())
    assert [one["kind"] for one in check_from(SPEC, service)["attempts"]] == ["token"]
    assert {token for _url, token in service.asked} == {TOKEN}


def test_the_false_tokens_are_false() -> None:
    forged, unsigned = false_token("forged", TOKEN, NOW), false_token("unsigned", TOKEN, NOW)
    assert forged
    assert unsigned
    assert forged.split(".")[:2] == TOKEN.split(".")[:2]
    assert forged.split(".")[2] != TOKEN.split(".")[2]
    assert len(forged) == pytest.approx(len(TOKEN), abs=3)
    claims = claims_of(unsigned)
    assert claims
    assert claims["algorithm"] == "none"
    assert unsigned.split(".")[1] == TOKEN.split(".")[1]
    alone = claims_of(false_token("forged", None, NOW) or "")
    assert alone
    assert alone["expires"] == NOW + 300


WRONG: list[tuple[Json, str]] = [
    ({"url": "http://api.example.org/me"}, "over https:// only"),
    ({"url": "ftp://x"}, "url: 'ftp://x' cannot be asked"),
    ({"token": "a b"}, "no Bearer token has"),
    ({"token": "a\r\nX-Evil: 1"}, "no Bearer token has"),
    ({"issuer": "login"}, "issuer: 'login' cannot be asked"),
    ({"keys_url": "https://x.example.org/keys"}, "issuer"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_cannot_be_sent_is_refused(changes: Json, said: str) -> None:
    service = Service()
    with pytest.raises(ValueError, match=said):
        check_from({**SPEC, **changes}, service)
    assert not service.asked


DOCUMENT = f"{ISSUER}/.well-known/openid-configuration"
KEYS = f"{ISSUER}/keys"
ISSUED: Json = {"issuer": ISSUER, "jwks_uri": KEYS}
PUBLISHED: list[tuple[str, Json, list[str], str | None]] = [
    ("its keys", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "b"}, {"kid": "a"}, {"n": "x"}, 7]}}, ["a", "b"], None),
    ("no document", {}, [], "HTTP 404"),
    ("another issuer", {DOCUMENT: {**ISSUED, "issuer": "https://evil.example.org"}}, [], "another issuer"),
    ("another host", {DOCUMENT: {**ISSUED, "jwks_uri": "https://169.254.169.254/keys"}}, [], "on another host, 169.254.169.254"),
    ("another port", {DOCUMENT: {**ISSUED, "jwks_uri": f"{ISSUER}:8443/keys"}}, [], "on another host"),
    ("no address", {DOCUMENT: {"issuer": ISSUER}}, [], "names no address"),
    ("no keys", {DOCUMENT: ISSUED, KEYS: {}}, [], "no list of keys"),
    ("no JSON", {DOCUMENT: ISSUED, KEYS: b"\xff<html>"}, [], "is no JSON"),
    ("deep JSON", {DOCUMENT: ISSUED, KEYS: b"[" * 200_000}, [], "is no JSON"),
    ("a list", {DOCUMENT: [1]}, [], "no JSON object"),
]


@pytest.mark.parametrize(("name", "documents", "kids", "refusal"), PUBLISHED, ids=[one[0] for one in PUBLISHED])
def test_published_keys(name: str, documents: Json, kids: list[str], refusal: str | None) -> None:
    service = Service(documents=documents)
    keys = check_from({**SPEC, "issuer": ISSUER}, service)["keys"]
    assert keys
    assert keys["kids"] == kids
    assert (refusal is None and keys["refusal"] is None) or (refusal or "-") in str(keys["refusal"])
    assert {token for url, token in service.asked if url != URL} == {None}
    assert {url for url, _token in service.asked} <= {URL, DOCUMENT, KEYS}


def test_keys_on_another_host_are_asked_for_where_the_inventory_says_so() -> None:
    service = Service(documents={"https://keys.example.org/all": {"keys": [{"kid": "a"}]}})
    keys = check_from({**SPEC, "issuer": ISSUER, "keys_url": "https://keys.example.org/all"}, service)["keys"]
    assert keys == {"url": "https://keys.example.org/all", "kids": ["a"], "refusal": None}


@pytest.mark.parametrize("token", ["opaque", "a.b.c", f"{part({})}.{part({})}.", "..", f"{'x' * 5000}.y.z"])
def test_any_token_has_claims_or_none(token: str) -> None:
    claims = claims_of(token)
    assert claims is None or set(claims.values()) == {None}


def attempt(kind: str, status: str = "401", requests: int = 5, **failures: int) -> Json:
    return {"kind": kind, "requests": requests, "statuses": {status: requests} if status else {}, "failures": failures}


CLAIMS: Json = {"kid": "key-1", "algorithm": "RS256", "issuer": ISSUER, "issued": NOW, "not_before": None, "expires": NOW + 600}
CLOSED = [attempt(kind) for kind in ("none", "garbage", "unsigned", "forged")]
GOOD = attempt("token", "200")
REFUSED = attempt("token", "401")


def auth(*attempts: Json, claims: Json | None = None, clock: float | None = 0.2, keys: Json | None = None) -> Json:
    return {
        "system": "login", "kind": "auth", "depends_on": ["pods"], "limits": {"clock_seconds_max": 30.0},
        "checked": {"url": URL, "attempts": list(attempts), "claims": claims or CLAIMS, "clock": clock, "keys": keys, "now": NOW},
    }  # fmt: skip


def keys_of(*kids: str, refusal: str | None = None) -> Json:
    return {"url": KEYS, "kids": list(kids), "refusal": refusal}


VERDICTS: list[tuple[str, Json, list[tuple[str, str]], list[str]]] = [
    ("all is well", auth(GOOD, *CLOSED, keys=keys_of("key-1")), [], []),
    ("forged is accepted", auth(GOOD, *CLOSED[:3], attempt("forged", "200")), [("auth.open_door", "proven")], []),
    ("one pod accepts it",
     auth(GOOD, *CLOSED[:3], {**attempt("forged"), "statuses": {"200": 1, "401": 4}}), [("auth.open_door", "proven")], []),
    ("accepts an unsigned one with 204", auth(GOOD, *CLOSED[:2], attempt("unsigned", "204"), CLOSED[3]),
     [("auth.open_door", "proven")], []),
    ("asks for no token", auth(GOOD, *(attempt(one["kind"], "200") for one in CLOSED)), [("auth.open_door", "likely")], []),
    ("expired and accepted", auth(GOOD, *CLOSED, claims={**CLAIMS, "expires": NOW - 100}),
     [("auth.open_door", "proven")], ["the good token"]),
    ("expired within the leeway", auth(GOOD, *CLOSED, claims={**CLAIMS, "expires": NOW - 30}), [], []),
    ("expired here, good by its own clock", auth(GOOD, *CLOSED, claims={**CLAIMS, "expires": NOW - 100}, clock=-120.0),
     [("auth.clock_off", "possible")], []),
    ("a redirect is no refusal", auth(GOOD, *(attempt(one["kind"], "302") for one in CLOSED)), [], ["the negative test"]),
    ("an error is no refusal", auth(GOOD, *CLOSED[:3], attempt("forged", "500")), [], ["the negative test"]),
    ("no answer is no refusal", auth(GOOD, *CLOSED[:3], attempt("forged", "", **{"timed out": 5})), [], ["the negative test"]),
    ("no good token", auth(*CLOSED), [], ["the good token"]),
    ("expired and refused", auth(REFUSED, claims={**CLAIMS, "expires": NOW - 100}), [], ["the good token", "the negative test"]),
    ("may not read it", auth(attempt("token", "403"), *CLOSED), [], ["the good token"]),
    ("its name does not resolve", auth(attempt("token", "", **{"name does not resolve": 5}),
     *(attempt(one["kind"], "", **{"name does not resolve": 5}) for one in CLOSED)), [], ["the good token", "the negative test"]),
    ("refused", auth(REFUSED), [("auth.token_refused", "proven")], ["the negative test"]),
    ("refused by some", auth({**REFUSED, "statuses": {"200": 3, "401": 2}}), [("auth.token_refused", "proven")], ["the negative test"]),
    ("fails", auth(attempt("token", "503"), *CLOSED), [("auth.token_refused", "proven")], []),
    ("its key is not published", auth(REFUSED, keys=keys_of("key-2")),
     [("auth.token_refused", "proven"), ("auth.key_unknown", "proven")], ["the negative test"]),
    ("its key is not published and still accepted", auth(GOOD, *CLOSED, keys=keys_of("key-2")), [("auth.key_unknown", "proven")], []),
    ("its key is published, and it is refused", auth(REFUSED, keys=keys_of("key-1")),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible")], ["the negative test"]),
    ("the issuer does not answer", auth(GOOD, *CLOSED, keys=keys_of(refusal="timed out")), [], ["the issuer's keys"]),
    ("a token without a key's name", auth(GOOD, *CLOSED, claims={**CLAIMS, "kid": None}, keys=keys_of("key-1")),
     [], ["the issuer's keys"]),
    ("the clock is behind", auth(REFUSED, clock=-300.0),
     [("auth.token_refused", "proven"), ("auth.clock_off", "likely")], ["the negative test"]),
    ("the clock is ahead of the token's end", auth(REFUSED, clock=900.0),
     [("auth.token_refused", "proven"), ("auth.clock_off", "likely")], ["the negative test"]),
    ("the clock is off and the token accepted", auth(GOOD, *CLOSED, clock=300.0), [("auth.clock_off", "possible")], []),
    ("no clock", auth(GOOD, *CLOSED, clock=None), [], ["the service's clock"]),
    ("a time that no calendar has", auth(REFUSED, claims={**CLAIMS, "expires": -9e11}), [], ["the good token", "the negative test"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "found", "gaps"), VERDICTS, ids=[one[0] for one in VERDICTS])
def test_what_is_thought_of_it(name: str, facts: Json, found: list[tuple[str, str]], gaps: list[str]) -> None:
    seen = list(observe(facts, shipped()))
    findings = [one for one in seen if isinstance(one, Finding)]
    assert [(one.id, one.confidence) for one in findings] == found
    assert sorted(one.what for one in seen if isinstance(one, Gap)) == sorted(gaps)
    assert not {one.id for one in seen if isinstance(one, RuledOut)} & {one.id for one in findings}
    for one in findings:
        assert "{" not in shipped().summary(one) + shipped().message(one)
        assert shipped().manual_command(one) or one.id == "auth.token_refused"
