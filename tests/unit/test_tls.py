"""Which certificates are served, and what is wrong with them."""

from __future__ import annotations

import datetime
import ssl
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._tls import look
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.tls import rules
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, t.Any]
NOW = "2026-11-27T12:00:00Z"
URL = "https://api.example.org/health"
GOOD = {"subject": "CN=api.example.org", "issuer": "CN=Authority", "names": ["api.example.org"], "not_before": "2026-09-01T00:00:00Z",
        "not_after": "2027-01-01T00:00:00Z", "serial": "abc123", "is_own_issuer": False}  # fmt: skip
AUTHORITY = {**GOOD, "subject": "CN=Authority", "issuer": "CN=Root", "names": []}
ROOT = {**AUTHORITY, "subject": "CN=Root", "is_own_issuer": True}


def facts(leaf: Json | None = None, *others: Json, **changes: t.Any) -> t.Any:
    chain = [{**GOOD, **leaf}, *(others or (AUTHORITY,))] if leaf is not None else []
    served = {"endpoint": "api.example.org:443", "name": "api.example.org", "urls": [URL], "at": NOW, "failure": "", "distrust": "",
              "distrust_code": 0, "chain": chain, **changes}  # fmt: skip
    return {"system": "edge", "kind": "tls", "depends_on": [], "limits": {"days_left_min": 14.0}, "served": [served]}


OWN = {"issuer": "CN=api.example.org", "is_own_issuer": True}
ENDED = {"not_after": "2026-11-27T09:00:00Z"}
SELF = {"distrust": "self-signed certificate in certificate chain", "distrust_code": 19}
UNKNOWN = {"distrust": "unable to get local issuer certificate", "distrust_code": 20}
FOUND: list[tuple[str, t.Any, list[tuple[str, str]]]] = [
    ("good", facts({}), []),
    ("ended", facts(ENDED, distrust="certificate has expired", distrust_code=10), [("tls.certificate_expired", "proven")]),
    ("ends this second", facts({"not_after": NOW}), [("tls.certificate_expires_soon", "proven")]),
    ("ends soon", facts({"not_after": "2026-12-11T11:59:59Z"}), [("tls.certificate_expires_soon", "proven")]),
    ("ends in two weeks", facts({"not_after": "2026-12-11T12:00:00Z"}), []),
    ("not begun", facts({"not_before": "2026-11-27T12:00:01Z"}, distrust="not yet valid", distrust_code=9),
     [("tls.certificate_not_yet_valid", "proven")]),
    ("its issuer's has ended", facts({}, {**AUTHORITY, **ENDED}, distrust="certificate has expired", distrust_code=10),
     [("tls.certificate_expired", "proven")]),
    ("ended on another server only", facts({}, distrust="certificate has expired", distrust_code=10), []),
    ("for more names than are compared, and trusted", facts({"names": ["www.example.org"]}), []),
    ("for another name", facts({"names": ["www.example.org"]}, distrust="Hostname mismatch", distrust_code=62),
     [("tls.certificate_wrong_name", "proven")]),
    ("for nobody", facts({"names": []}, distrust="Hostname mismatch", distrust_code=62), [("tls.certificate_wrong_name", "proven")]),
    ("ended, and for another name", facts({**ENDED, "names": ["www.example.org"]}, distrust="certificate has expired", distrust_code=10),
     [("tls.certificate_expired", "proven"), ("tls.certificate_wrong_name", "proven")]),
    ("without its issuer's", {**facts({}, **UNKNOWN), "served": [{**facts({}, **UNKNOWN)["served"][0], "chain": [GOOD]}]},
     [("tls.chain_incomplete", "likely")]),
    ("without the second issuer's", facts({}, AUTHORITY, **UNKNOWN), [("tls.chain_incomplete", "likely")]),
    ("its root instead of its issuer's", facts({}, ROOT, **UNKNOWN), [("tls.chain_incomplete", "likely")]),
    ("whole, of an authority that nobody knows", facts({}, AUTHORITY, ROOT, **SELF), [("tls.certificate_untrusted", "proven")]),
    ("the same, and ended", facts(ENDED, AUTHORITY, ROOT, **SELF), [("tls.certificate_expired", "proven"), ("tls.certificate_untrusted", "proven")]),
    ("its own issuer", facts(OWN, {**GOOD, **OWN}, distrust="self-signed certificate", distrust_code=18),
     [("tls.certificate_untrusted", "proven")]),
    ("with its root, and that is not known", facts({}, AUTHORITY, ROOT, **UNKNOWN), [("tls.certificate_untrusted", "proven")]),
    ("revoked, which nobody here knows to judge", facts({}, distrust="certificate revoked", distrust_code=23), []),
]  # fmt: skip


def findings(given: t.Any) -> list[tuple[str, str]]:
    return [(one.id, one.confidence) for rule in rules.RULES for one in rule(given) if isinstance(one, Finding)]


@pytest.mark.parametrize(("given", "wanted"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
def test_what_is_wrong_with_a_certificate(given: t.Any, wanted: list[tuple[str, str]]) -> None:
    assert findings(given) == wanted


def test_a_finding_meets_the_addresses_behind_the_endpoint() -> None:
    (found,) = [one for one in rules.times(facts(ENDED)) if isinstance(one, Finding)]
    assert [ref.key for ref in found.links] == [URL]
    assert found.evidence["ago"] == "3.0 hours"


def test_a_good_one_is_ruled_out_with_its_end() -> None:
    ruled = [(one.id, one.why) for rule in rules.RULES for one in rule(facts({})) if isinstance(one, RuledOut)]
    assert ruled == [
        ("tls.certificate_expired", "api.example.org:443 until 2027-01-01"),
        ("tls.certificate_wrong_name", "api.example.org:443 is for api.example.org"),
        ("tls.certificate_untrusted", "api.example.org:443 is trusted here"),
    ]


UNREAD: list[tuple[str, t.Any, str]] = [
    ("no handshake", facts(failure="connection refused"), "connection refused"),
    ("nothing served", facts(), "none was served"),
    ("no address", {**facts(), "served": []}, "no https:// address is configured (runbooks_health_urls)"),
]


@pytest.mark.parametrize(("given", "why"), [case[1:] for case in UNREAD], ids=[case[0] for case in UNREAD])
def test_what_could_not_be_looked_at_is_a_gap(given: t.Any, why: str) -> None:
    observed = [one for rule in rules.RULES for one in rule(given)]
    assert [one.why for one in observed if isinstance(one, Gap)] == [why]
    assert len(observed) == 1


NAMES = [
    ("api.example.org", "api.example.org", True),
    ("API.example.org", "api.EXAMPLE.org.", True),
    ("api.example.org", "*.example.org", True),
    ("example.org", "*.example.org", False),
    ("a.b.example.org", "*.example.org", False),
    (".example.org", "*.example.org", False),
    ("api.example.org", "*", False),
    ("localhost", "*", False),
    ("bücher.example", "xn--bcher-kva.example", True),
    ("api.example.org", "api.*.org", False),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "*.0.0.1", False),
]


@pytest.mark.parametrize(("name", "pattern", "wanted"), NAMES)
def test_whom_a_name_is_for(name: str, pattern: str, wanted: bool) -> None:
    assert rules.fits(name, pattern) is wanted


ENDPOINTS = [("https://api.example.org/x", "api.example.org:443"), ("https://[::1]:8443", "[::1]:8443")]


@pytest.mark.parametrize(("url", "wanted"), ENDPOINTS)
def test_the_endpoint_of_an_address(url: str, wanted: str) -> None:
    assert str(look.endpoint_of(url)) == wanted


@pytest.mark.parametrize(
    "url", ["http://api.example.org", "api.example.org:443", "https://user:word@api.example.org", "https://x:99999"]
)
def test_what_has_no_certificate_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no certificate to look at"):
        look.endpoint_of(url)


def made(*names: x509.GeneralName) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
    begins = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(0xABC)
    )
    builder = builder.not_valid_before(begins).not_valid_after(begins + datetime.timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_certificate_is_read() -> None:
    assert look.certificate(made(x509.DNSName("api.example.org"))) == {
        "subject": "CN=api", "issuer": "CN=api", "names": ["api.example.org"], "not_before": "2026-01-02T03:04:05Z",
        "not_after": "2026-01-03T03:04:05Z", "serial": "abc", "is_own_issuer": True,
    }  # fmt: skip


def test_one_without_names_has_none() -> None:
    assert look.certificate(made())["names"] == []


def test_garbage_is_no_certificate() -> None:
    with pytest.raises(ValueError, match=r"."):
        look.certificate(b"garbage")


class Refuses:
    """Nobody gets through the handshake."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def __call__(self, *_given: t.Any) -> t.Any:
        raise self._error


FAILURES: list[tuple[str, OSError, str]] = [
    ("nobody listens", ConnectionRefusedError(), "connection refused"),
    ("nobody answers", TimeoutError(), "timed out after 5 s"),
    ("it speaks no TLS", ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS handshake: "),
]


@pytest.mark.parametrize(("error", "wanted"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_why_there_was_no_handshake(monkeypatch: pytest.MonkeyPatch, error: OSError, wanted: str) -> None:
    monkeypatch.setattr(look, "_chain", Refuses(error))
    told = look.look_at(look.endpoint_of(URL), [URL], 5.0, None)
    assert told["failure"].startswith(wanted)
    assert told["chain"] == []


def test_what_is_not_understood_is_a_gap() -> None:
    for given in (
        facts({}, distrust="certificate revoked", distrust_code=23),
        facts({}, distrust="certificate has expired", distrust_code=10),
    ):
        (gap,) = [one for rule in rules.RULES for one in rule(given) if isinstance(one, Gap)]
        assert gap.why.startswith(given["served"][0]["distrust"])


def test_a_certificate_of_the_year_999_is_read() -> None:
    (found,) = [
        one for one in rules.times(facts({"not_after": look.told(datetime.datetime(999, 1, 2))})) if isinstance(one, Finding)
    ]
    assert found.id == "tls.certificate_expired"


def test_hardly_any_client_asks_for_what_python_3_13_does() -> None:
    assert not look.trusting(None).verify_flags & ssl.VERIFY_X509_STRICT
