"""The HTTP client: what is tried again, what is looked up, what the errors say."""

from __future__ import annotations

import socket
import ssl
import urllib.error

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._http import transport
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Settings, header_value
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import (
    ApiError,
    DownError,
    HttpError,
    NetworkError,
    OutcomeUnknownError,
    UnreachedError,
    UnusableAnswerError,
)

from tests.unit.http_script import Call, Script

GET = Call("GET", "/things", answer={"ok": True})


def again(**changes: object) -> Call:
    return Call("GET", "/things", **changes)  # type: ignore[arg-type]


READS = [
    ("at once", [GET], []),
    ("after a network error", [again(lost=True), GET], [0.5]),
    ("after two 5xx, waiting longer", [again(status=502), again(status=503), GET], [0.5, 1.0]),
    ("after 429 with Retry-After", [again(status=429, headers={"retry-after": "7"}), GET], [7.0]),
    ("after 429 with PagerDuty's header", [again(status=429, headers={"ratelimit-reset": "3"}), GET], [3.0]),
    ("a wait is clamped", [again(status=420, headers={"retry-after": "3600"}), GET], [30.0]),
    ("a senseless wait is ignored", [again(status=429, headers={"retry-after": "soon"}), GET], [0.5]),
]


@pytest.mark.parametrize(("name", "calls", "slept"), READS, ids=[row[0] for row in READS])
def test_reads(name: str, calls: list[Call], slept: list[float]) -> None:
    script = Script(*calls)
    assert script.client().get("/things", (), dict) == {"ok": True}
    script.finish()
    assert script.slept == slept


REFUSED = [
    (again(status=401, answer={"error": {"message": "Unauthorized", "code": 2006}}), "HTTP 401: Unauthorized"),
    (again(status=400, answer={"error": {"message": "Bad", "errors": {"title": "is empty"}}}), "HTTP 400: Bad; is empty"),
    (again(status=422, answer={"error": ["name is required", "body is long"]}), "name is required; body is long"),
    (again(status=403, answer={"errors": ["Forbidden"]}), "HTTP 403: Forbidden"),
    (again(status=404, answer={"message": "nothing here"}), "HTTP 404: nothing here"),
    (again(status=400, answer=["one", "two"]), "HTTP 400: one; two"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_a_refusal_names_system_request_reason_and_way_out(call: Call, message: str) -> None:
    with pytest.raises(ApiError) as error:
        Script(call).client().get("/things", (), dict)
    assert message in str(error.value)
    assert str(error.value).startswith("Vendor: GET https://api.example.org/things: ")
    assert str(error.value).endswith("Check the key")
    assert "secret" not in str(error.value)


def test_an_answer_without_json() -> None:
    script = Script(Call("GET", "/things"))
    with pytest.raises(UnusableAnswerError, match="HTTP 200 without JSON"):
        script.client().get("/things", (), dict)
    with pytest.raises(DownError, match="no answer"):
        Script(*[again(lost=True)] * 3).client().get("/things", (), dict)


POST = Call("POST", "/things", {"a": 1}, status=201, answer={"id": "x"})


def post(**changes: object) -> Call:
    return Call("POST", "/things", {"a": 1}, **changes)  # type: ignore[arg-type]


def test_a_write_is_tried_again_only_where_it_was_not_done() -> None:
    script = Script(post(unsent=True), post(status=429, headers={"retry-after": "1"}), POST)
    client = script.client()
    assert client.write("POST", "/things", {"a": 1}, dict) == {"id": "x"}
    script.finish()
    assert [(sent.method, sent.path, sent.body) for sent in client.sent] == [("POST", "/things", {"a": 1})]


@pytest.mark.parametrize("call", [post(lost=True), post(status=500), post(status=504)])
def test_a_write_without_a_clear_answer_is_not_sent_again_blindly(call: Call) -> None:
    script = Script(call)
    with pytest.raises(OutcomeUnknownError):
        script.client().write("POST", "/things", {"a": 1}, dict)
    script.finish()


def test_a_write_that_was_done_and_whose_answer_was_lost_is_found() -> None:
    script = Script(post(lost=True), Call("GET", "/things", answer={"id": "x"}))
    client = script.client()
    found = client.write_looking(
        "POST", "/things", {"a": 1}, lambda: client.get("/things", (), lambda data: data["id"]), lambda answer: answer["id"]
    )
    assert found == "x"
    assert len(client.sent) == 1
    script.finish()


def test_a_write_that_was_not_done_is_sent_again_after_looking() -> None:
    script = Script(post(status=500), *[Call("GET", "/things", answer={})] * 4, POST)
    client = script.client()
    found = client.write_looking(
        "POST", "/things", {"a": 1}, lambda: client.get("/things", (), lambda data: data.get("id")), lambda answer: answer["id"]
    )
    assert found == "x"
    assert len(client.sent) == 1
    script.finish()


def test_a_write_that_never_gets_an_answer_ends_as_unknown() -> None:
    script = Script(*[post(lost=True)] * 3)
    with pytest.raises(OutcomeUnknownError, match="POST"):
        script.client().write_looking("POST", "/things", {"a": 1}, lambda: None, lambda answer: answer)


def test_check_mode_writes_nothing_and_tells_what_it_would() -> None:
    script = Script()
    client = script.client(check_mode=True)
    assert client.write("POST", "/things", {"a": 1}, dict) is None
    assert client.sent[0].body == {"a": 1}


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 200000, b"\xff\xfe", b'{"a": 1} x', b"1" * 6000])
def test_what_a_write_is_answered_and_nobody_can_read_is_unknown(raw: bytes) -> None:
    with pytest.raises(OutcomeUnknownError, match="HTTP 200 without JSON"):
        Script(post(raw=raw)).client().write("POST", "/things", {"a": 1}, dict)


def test_everything_together_ends_with_the_budget() -> None:
    script = Script(*[again(lost=True, seconds=4.0)] * 3)
    with pytest.raises(DownError):
        script.client(tries=9, budget=10.0).get("/things", (), dict)
    assert script.now < 10.0 + 4.0


def test_no_exchange_is_given_more_than_is_left_of_the_budget() -> None:
    script = Script(again(lost=True, seconds=2.0), GET)
    script.client(timeout=10.0, budget=3.0).get("/things", (), dict)
    assert script.seconds == [3.0, 0.5]


def test_a_wait_that_ends_after_the_budget_is_not_begun() -> None:
    script = Script(again(status=429, headers={"retry-after": "3600"}))
    with pytest.raises(ApiError, match="HTTP 429"):
        script.client(budget=20.0).get("/things", (), dict)
    assert script.slept == []


@pytest.mark.parametrize("wait", ["\u00b2", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400])
def test_a_strange_wait_raises_nothing(wait: str) -> None:
    assert Script(again(status=503, headers={"retry-after": wait}), GET).client().get("/things", (), dict) == {"ok": True}


def test_where_no_time_is_left_to_look_nobody_knows() -> None:
    script = Script(post(lost=True, seconds=2.0), *[Call("GET", "/things", answer={})] * 2)
    client = script.client(budget=4.0)
    with pytest.raises(OutcomeUnknownError, match="no time was left") as error:
        client.write_looking("POST", "/things", {"a": 1}, lambda: client.get("/things", (), lambda data: data.get("id")), dict)
    assert error.value.down


URLS = [
    ("http://api.example.org", "unencrypted"),
    ("https://user:secret@api.example.org", "must not have a password"),
    ("ftp://api.example.org", "is no address"),
    ("api.example.org", "is no address"),
    ("https://[::1", "is no address"),
    ("http://127.0.0.1.example.org", "unencrypted"),
]


@pytest.mark.parametrize(("url", "why"), URLS)
def test_a_key_is_sent_nowhere_unencrypted(url: str, why: str) -> None:
    with pytest.raises(HttpError, match=why) as error:
        Client(Settings("Vendor", url, {}, "Check it"), Script())
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://api.example.org"])
def test_loopback_and_https_are_as_they_are(url: str) -> None:
    Client(Settings("Vendor", url, {}, "Check it"), Script())
    Client(Settings("Vendor", "http://api.example.org", {}, "Check it", allow_plaintext=True), Script())


@pytest.mark.parametrize("key", ["", " \n", "a\nb", "a\x7fb", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_not_repeated(key: str) -> None:
    with pytest.raises(HttpError, match="api_key is empty, or has characters") as error:
        header_value("api_key", key)
    assert not key.strip() or key not in str(error.value)


BEFORE = [
    (socket.gaierror(-2, "Name or service not known"), True),
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), True),
    (ConnectionRefusedError(111, "Connection refused"), True),
    (ConnectionResetError(104, "Connection reset by peer"), False),
    (TimeoutError("timed out"), False),
]


@pytest.mark.parametrize(("reason", "unreached"), BEFORE)
def test_what_never_left_is_told_from_what_may_have_arrived(
    reason: Exception, unreached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(transport, "opened", fail)
    with pytest.raises(NetworkError) as error:
        transport.UrlTransport()("POST", "https://api.example.org", {}, b"{}", 5.0)
    assert isinstance(error.value, UnreachedError) is unreached


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_nothing_but_http_is_opened(url: str) -> None:
    with pytest.raises(NetworkError, match="unknown url type"):
        transport.UrlTransport()("GET", url, {}, None, 5.0)
