"""Good and false tokens: what is sent, and what is thought of what comes."""

from __future__ import annotations

import base64
import collections
import json
import time
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import Wanted
from ansible_collections.sre.runbooks.plugins.module_utils._token.check import (
    FALSE,
    Answer,
    check,
    check_from,
    claims_of,
    false_token,
)
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
    "url": URL, "token": TOKEN, "issuer": None, "keys_url": None, "requests": 3, "body_pattern": None, "timeout": 2.0, "validate_certs": True, "ca_path": None,
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

    def __call__(self, url: str, token: str | None, wanted: Wanted, with_body: bool) -> Answer:
        assert with_body is (url != URL or wanted.body_pattern is not None)
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
    assert counted == {"token": 6, "none": 3, "garbage": 3, "unsigned": 9, "forged": 6}
    assert service.asked[-3:] == [(URL, TOKEN)] * 3
    assert [(one["kind"], one["statuses"]) for one in checked["attempts"]] == [
        ("token", {"200": 3}), *((kind, {"401": 3}) for kind in FALSE), ("again", {"200": 3}),
    ]  # fmt: skip


def test_each_false_token_is_false_in_its_own_way() -> None:
    made = {kind: false_token(kind, TOKEN, NOW) or "" for kind in FALSE}
    assert [claims["algorithm"] for kind in ("unsigned", "unsigned_other") if (claims := claims_of(made[kind]))] == [
        "none",
        "nOnE",
    ]
    assert made["stripped"] == f"{TOKEN.rpartition('.')[0]}."
    header = json.loads(base64.urlsafe_b64decode(f"{made['unknown_key'].partition('.')[0]}=="))
    assert header["alg"] == "RS256"
    assert header["kid"].startswith("sre.runbooks-")
    assert made["unknown_key"].split(".")[1] == TOKEN.split(".")[1]


def test_a_password_in_an_address_is_not_said() -> None:
    for name in ("url", "issuer"):
        with pytest.raises(ValueError, match="a password") as caught:
            check_from({**SPEC, name: "https://svc:S3cretPw@api.example.org/me"}, Service())
        assert "S3cretPw" not in str(caught.value)


def test_where_a_good_token_is_refused_no_false_one_is_sent() -> None:
    service = Service(accepts=())
    assert [one["kind"] for one in check_from(SPEC, service)["attempts"]] == ["token"]
    assert {token for _url, token in service.asked} == {TOKEN}


def test_where_nothing_answers_the_verdict_does_not_wait_for_false_ones() -> None:
    asked = []

    def silence(_url: str, token: str | None, _wanted: Wanted, _with_body: bool) -> Answer:
        asked.append(token)
        return Answer(None, failure="timed out")

    checked = check_from(SPEC, silence)
    assert asked == [TOKEN] * 3
    assert checked["attempts"][0]["failures"] == {"timed out": 3}


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
    ({"issuer": "http://login.example.org"}, "issuer: tokens and keys go over https"),
    ({"token": f"{TOKEN}\n"}, "no Bearer token has"),
    ({"token": "a b"}, "no Bearer token has"),
    ({"token": "a\r\nX-Evil: 1"}, "no Bearer token has"),
    ({"issuer": "login"}, "issuer: 'login' cannot be asked"),
    ({"keys_url": "https://x.example.org/keys"}, "issuer"),
    ({"requests": 0}, "requests: without one nothing is known"),
    ({"body_pattern": "("}, "no regular expression|not a regular expression"),
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
PUBLISHED: list[tuple[str, Json, tuple[bool | None, int, int], str | None]] = [
    ("its keys", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "b"}, {"kid": "key-1"}, {"n": "x"}, 7]}}, (True, 2, 2), None),
    ("a key of its name that signs nothing so", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "key-1", "kty": "oct"}]}}, (False, 1, 0), None),
    ("a key of its name for encryption", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "key-1", "kty": "RSA", "use": "enc"}]}}, (False, 1, 0), None),
    ("its key, whole", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "key-1", "kty": "RSA", "use": "sig"}]}}, (True, 1, 0), None),
    ("other keys", {DOCUMENT: ISSUED, KEYS: {"keys": [{"kid": "key-10"}]}}, (False, 1, 0), None),
    ("behind many", {DOCUMENT: ISSUED, KEYS: {"keys": [*({"kid": str(one)} for one in range(150)), {"kid": "key-1"}]}}, (True, 151, 0), None),
    ("half a letter", {DOCUMENT: ISSUED, KEYS: b'{"keys": [{"kid": "\\ud800"}]}'}, (False, 1, 0), None),
    ("no document", {}, (None, 0, 0), "HTTP 404"),
    ("another issuer", {DOCUMENT: {**ISSUED, "issuer": "https://evil.example.org"}}, (None, 0, 0), "another issuer"),
    ("another host", {DOCUMENT: {**ISSUED, "jwks_uri": "https://169.254.169.254/keys"}}, (None, 0, 0), "on another host"),
    ("another port", {DOCUMENT: {**ISSUED, "jwks_uri": f"{ISSUER}:8443/keys"}}, (None, 0, 0), "on another host"),
    ("no address", {DOCUMENT: {"issuer": ISSUER}}, (None, 0, 0), "names no address"),
    ("no keys", {DOCUMENT: ISSUED, KEYS: {}}, (None, 0, 0), "no list of keys"),
    ("no JSON", {DOCUMENT: ISSUED, KEYS: b"\xff<html>"}, (None, 0, 0), "is no JSON"),
    ("deep JSON", {DOCUMENT: ISSUED, KEYS: b"[" * 200_000}, (None, 0, 0), "is no JSON"),
    ("a list", {DOCUMENT: [1]}, (None, 0, 0), "no JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "documents", "counted", "refusal"), PUBLISHED, ids=[one[0] for one in PUBLISHED])
def test_published_keys(name: str, documents: Json, counted: tuple[bool | None, int, int], refusal: str | None) -> None:
    service = Service(documents=documents)
    keys = check_from({**SPEC, "issuer": ISSUER}, service)["keys"]
    assert keys
    assert (keys["has"], keys["named"], keys["unnamed"]) == counted
    assert (refusal is None and keys["refusal"] is None) or (refusal or "-") in str(keys["refusal"])
    assert {token for url, token in service.asked if url != URL} == {None}
    assert {url for url, _token in service.asked} <= {URL, DOCUMENT, KEYS}


def test_no_word_of_an_answer_is_told() -> None:
    """Who knows the token could give it back in pieces, which nobody would take for it."""
    pieces = [{"kid": TOKEN[start : start + 9]} for start in range(0, len(TOKEN), 9)]
    for documents in (
        {DOCUMENT: ISSUED, KEYS: {"keys": pieces}},
        {DOCUMENT: {**ISSUED, "issuer": TOKEN}},
        {DOCUMENT: {**ISSUED, "jwks_uri": f"https://{TOKEN[:40]}/{TOKEN}"}},
        {DOCUMENT: {**ISSUED, "jwks_uri": f"{ISSUER}/{TOKEN}"}, f"{ISSUER}/{TOKEN}": {"keys": []}},
    ):
        told = json.dumps(check_from({**SPEC, "issuer": ISSUER}, Service(documents=documents)))
        assert not [start for start in range(len(TOKEN) - 8) if TOKEN[start : start + 9] in told]


def test_keys_on_another_host_are_asked_for_where_the_inventory_says_so() -> None:
    service = Service(documents={"https://keys.example.org/all": {"keys": [{"kid": "a"}]}})
    keys = check_from({**SPEC, "issuer": ISSUER, "keys_url": "https://keys.example.org/all"}, service)["keys"]
    assert keys
    assert (keys["url"], keys["named"], keys["refusal"]) == ("https://keys.example.org/all", 1, None)


def test_half_a_letter_in_a_token_can_be_written_down() -> None:
    token = f"{part({'alg': 'RS256', 'kid': chr(0xD800)})}.{part({})}.x"
    assert json.dumps(claims_of(token), ensure_ascii=False).encode()


@pytest.mark.parametrize("token", ["opaque", "a.b.c", f"{part({})}.{part({})}.", "..", f"{'x' * 5000}.y.z"])
def test_any_token_has_claims_or_none(token: str) -> None:
    claims = claims_of(token)
    assert claims is None or set(claims.values()) == {None}


def attempt(kind: str, status: str = "401", requests: int = 5, accepted: int | None = None, **failures: int) -> Json:
    good = requests if status.startswith("2") else 0
    return {"kind": kind, "requests": requests, "accepted": good if accepted is None else accepted,
            "statuses": {status: requests} if status else {}, "failures": failures}  # fmt: skip


CLAIMS: Json = {"kid": "key-1", "algorithm": "RS256", "issuer": ISSUER, "issued": NOW, "not_before": NOW, "expires": NOW + 600}
CLOSED = [*(attempt(kind) for kind in FALSE), attempt("again", "200")]
GOOD = attempt("token", "200")
REFUSED = attempt("token", "401")
OPEN = [*CLOSED[:3], attempt("forged", "200")]
UNTRIED = "the negative test"


def auth(
    *attempts: Json, claims: Json | t.Literal["usual"] | None = "usual", clocks: tuple[float, float] | None = (0.2, 0.4), refusing: float | None = None,
    keys: Json | None = None, body_asked: bool = False,
) -> Json:  # fmt: skip
    told = None if clocks is None else {"least": clocks[0], "most": clocks[1], "refusing": refusing}
    return {
        "system": "login", "kind": "auth", "depends_on": ["pods"], "limits": {"clock_seconds_max": 30.0},
        "checked": {"url": URL, "attempts": list(attempts), "claims": CLAIMS if claims == "usual" else claims, "clocks": told, "keys": keys, "now": NOW,
                    "body_asked": body_asked},
    }  # fmt: skip


def keys_of(*kids: str, refusal: str | None = None, unnamed: int = 0, clock: float | None = 0.1) -> Json:
    has = None if refusal else "key-1" in kids
    return {"issuer": ISSUER, "url": KEYS, "has": has, "named": len(kids), "unnamed": unnamed, "refusal": refusal, "clock": clock}


def ended(ago: float) -> Json:
    return {**CLAIMS, "expires": NOW - ago}


BEHIND: Json = {"clocks": (-300.0, -300.0), "refusing": -300.0}
VERDICTS: list[tuple[str, Json, list[tuple[str, str]], list[str]]] = [
    ("all is well", auth(GOOD, *CLOSED, keys=keys_of("key-1")), [], []),
    ("who counts requests lets nobody in any more", auth(GOOD, *CLOSED[:-1], attempt("again", "403")), [], ["the good token", UNTRIED]),
    ("who counts requests lets some in", auth(GOOD, *CLOSED[:-1], {**attempt("again", "200"), "accepted": 4}), [], ["the good token", UNTRIED]),
    ("the good one was not asked again", auth(GOOD, *CLOSED[:-1]), [], [UNTRIED]),
    *((f"{kind} is accepted", auth(GOOD, *(attempt(one, "200" if one == kind else "401") for one in FALSE), attempt("again", "200")),
       [("auth.open_door", "likely")], []) for kind in FALSE),
    ("forged is accepted where it was tried", auth(GOOD, *OPEN), [("auth.open_door", "likely")], []),
    ("forged is accepted, as its body says", auth(GOOD, *OPEN, body_asked=True), [("auth.open_door", "proven")], []),
    ("one pod accepts it", auth(GOOD, *CLOSED[:3], {**attempt("forged"), "accepted": 1, "statuses": {"200": 1, "401": 4}}),
     [("auth.open_door", "likely")], []),
    ("asks for no token", auth(GOOD, *(attempt(one["kind"], "200") for one in CLOSED), body_asked=True),
     [("auth.open_door", "likely")], []),
    ("200, and the body refuses", auth(GOOD, *(attempt(one["kind"], "200", accepted=0) for one in CLOSED[:-1]), CLOSED[-1]), [], [UNTRIED]),
    ("expired long ago and accepted", auth(GOOD, *CLOSED, claims=ended(9000)), [("auth.expired_accepted", "likely")],
     ["the good token", UNTRIED]),
    ("expired, as a cache allows", auth(GOOD, *CLOSED, claims=ended(300)), [], ["the good token", UNTRIED]),
    ("expired long ago by our clock alone", auth(GOOD, *CLOSED, claims=ended(9000), keys=keys_of("key-1", clock=-9000.0)), [],
     ["the good token", UNTRIED, "the issuer's keys"]),
    ("expired within the leeway", auth(GOOD, *CLOSED, claims=ended(30)), [], []),
    ("a redirect is no refusal", auth(GOOD, *(attempt(one["kind"], "302") for one in CLOSED[:-1]), CLOSED[-1]), [], [UNTRIED]),
    ("an error is no refusal", auth(GOOD, *CLOSED[:3], attempt("forged", "500")), [], [UNTRIED]),
    ("no answer is no refusal", auth(GOOD, *CLOSED[:3], attempt("forged", "", **{"timed out": 5})), [], [UNTRIED]),
    ("no good token", auth(*CLOSED, claims=None), [], ["the good token", UNTRIED]),
    ("a good token that is no JWT", auth(GOOD, *CLOSED, claims=None), [], [UNTRIED]),
    ("expired and refused", auth(REFUSED, claims=ended(100)), [], ["the good token", UNTRIED]),
    ("expired by the service's clock, and the issuer tells none", auth(REFUSED, clocks=(900.0, 900.0), refusing=900.0),
     [("auth.clock_off", "possible")], ["the good token", UNTRIED]),
    ("may not read it", auth(attempt("token", "403"), *CLOSED), [], ["the good token", UNTRIED]),
    ("a gateway lets nobody in", auth(*(attempt(one["kind"], "403") for one in (GOOD, *CLOSED))), [], ["the good token", UNTRIED]),
    ("403 and 503", auth({**attempt("token"), "statuses": {"403": 1, "503": 4}}, *CLOSED), [("auth.token_refused", "proven")], [UNTRIED]),
    ("a redirect is no answer", auth(attempt("token", "302"), *CLOSED), [], ["the good token", UNTRIED]),
    ("too many requests", auth(attempt("token", "429"), *CLOSED), [], ["the good token", UNTRIED]),
    ("its name does not resolve", auth(*(attempt(one["kind"], "", **{"name does not resolve": 5}) for one in (GOOD, *CLOSED))),
     [], ["the good token", UNTRIED]),
    ("refused", auth(REFUSED), [("auth.token_refused", "proven")], [UNTRIED]),
    ("refused by some", auth({**REFUSED, "accepted": 3, "statuses": {"200": 3, "401": 2}}), [("auth.token_refused", "proven")], [UNTRIED]),
    ("fails", auth(attempt("token", "503"), *CLOSED), [("auth.token_refused", "proven")], [UNTRIED]),
    ("fails, and its key is not published", auth(attempt("token", "503"), *CLOSED, keys=keys_of("key-2")),
     [("auth.token_refused", "proven"), ("auth.key_unknown", "possible")], [UNTRIED]),
    ("its key is not published", auth(REFUSED, keys=keys_of("key-2")),
     [("auth.token_refused", "proven"), ("auth.key_unknown", "proven")], [UNTRIED]),
    ("its key is not published and still accepted", auth(GOOD, *CLOSED, keys=keys_of("key-2")), [("auth.key_unknown", "proven")],
     ["the good token"]),
    ("its key was retired, and it has expired", auth(REFUSED, claims=ended(100), keys=keys_of("key-2")), [],
     ["the good token", UNTRIED, "the issuer's keys"]),
    ("keys without names", auth(REFUSED, keys=keys_of(unnamed=2)), [("auth.token_refused", "proven")], [UNTRIED, "the issuer's keys"]),
    ("signed with a shared key", auth(REFUSED, claims={**CLAIMS, "algorithm": "HS256"}, keys=keys_of("key-2")),
     [("auth.token_refused", "proven")], [UNTRIED, "the issuer's keys"]),
    ("another issuer's token", auth(REFUSED, claims={**CLAIMS, "issuer": "https://other.example.org"}, keys=keys_of("key-2")),
     [("auth.token_refused", "proven")], [UNTRIED, "the issuer's keys"]),
    ("a newer key that was not tried", auth(GOOD, *CLOSED, keys=keys_of("key-1", "key-2")), [], ["the good token"]),
    ("its key is published, and it is refused", auth(REFUSED, keys=keys_of("key-1")),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible")], [UNTRIED]),
    ("the issuer does not answer", auth(GOOD, *CLOSED, keys=keys_of(refusal="timed out")), [], ["the issuer's keys"]),
    ("a token without a key's name", auth(GOOD, *CLOSED, claims={**CLAIMS, "kid": None}, keys=keys_of()), [], ["the issuer's keys"]),
    ("keys without names, and accepted", auth(GOOD, *CLOSED, keys=keys_of(unnamed=1)), [], ["the good token", "the issuer's keys"]),
    ("the clock is behind, the issuer's is not", auth(REFUSED, keys=keys_of("key-1"), **BEHIND),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible"), ("auth.clock_off", "likely")], [UNTRIED]),
    ("the clock is behind, and the issuer tells none", auth(REFUSED, **BEHIND),
     [("auth.token_refused", "proven"), ("auth.clock_off", "possible")], [UNTRIED]),
    ("within what is allowed for", auth(REFUSED, keys=keys_of("key-1"), clocks=(-50.0, -50.0), refusing=-50.0),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible"), ("auth.clock_off", "possible")], [UNTRIED]),
    ("one pod's clock is behind, and it refuses", auth({**REFUSED, "accepted": 3, "statuses": {"200": 3, "401": 2}},
     keys=keys_of("key-1"), clocks=(-300.0, 0.4), refusing=-300.0),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible"), ("auth.clock_off", "likely")], [UNTRIED]),
    ("one pod's clock is behind, and another one refuses", auth({**REFUSED, "accepted": 3, "statuses": {"200": 3, "401": 2}},
     keys=keys_of("key-1"), clocks=(-300.0, 0.4), refusing=0.4),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible"), ("auth.clock_off", "possible")], [UNTRIED]),
    ("our clock is wrong", auth(REFUSED, keys=keys_of("key-1", clock=-290.0), **BEHIND),
     [("auth.token_refused", "proven"), ("auth.keys_not_fetched", "possible")], [UNTRIED, "the service's clock"]),
    ("the clock is off and the token accepted", auth(GOOD, *CLOSED, clocks=(300.0, 300.0)), [("auth.clock_off", "possible")], []),
    ("no clock", auth(GOOD, *CLOSED, clocks=None), [], ["the service's clock"]),
    ("a time that no calendar has", auth(REFUSED, claims={**CLAIMS, "expires": -9e11}), [], ["the good token", UNTRIED]),
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


def test_what_a_body_says_is_asked_for() -> None:
    class Polite(Service):
        def __call__(self, url: str, token: str | None, wanted: Wanted, with_body: bool) -> Answer:
            answer = super().__call__(url, token, wanted, with_body)
            return Answer(200, None, b'{"user": 7}' if answer.status == 200 else b'{"errors": ["who are you?"]}')

    checked = check_from({**SPEC, "body_pattern": '"user"'}, Polite())
    assert [one["accepted"] for one in checked["attempts"]] == [3, *[0] * len(FALSE), 3]


def test_the_clock_of_each_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    dates = iter(["Fri Jan 15 08:00:00 2027", "Fri, 15 Jan 2027 07:55:00 GMT", "nonsense"])

    def answer(_url: str, token: str | None, _wanted: Wanted, _with_body: bool) -> Answer:
        if kind_of(token) != "token":
            return Answer(401)
        date = next(dates, None)
        return Answer(401 if date and "07:55" in date else 200, date)

    wanted = Wanted(requests=3, concurrency=1)
    clocks = check(URL, TOKEN, [], wanted, get_one=answer, clock=lambda: NOW)["clocks"]
    monkeypatch.undo()
    time.tzset()
    assert clocks == {"least": -299.5, "most": 0.5, "refusing": -299.5}
