# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TLS endpoints serve, as a client from outside sees it (private to the collection).

Sources: RFC 8446 (TLS 1.3), RFC 5280 (certificates), RFC 6125 (names), https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import socket
import ssl
import traceback
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import method_and_url, problem_with, trusting, why_not
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._tls.facts import Certificate, Served
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within_each

CRYPTOGRAPHY_IMPORT_ERROR: str | None
try:
    from cryptography import x509
except ImportError:
    CRYPTOGRAPHY_IMPORT_ERROR = traceback.format_exc()
else:
    CRYPTOGRAPHY_IMPORT_ERROR = None

Json = dict[str, t.Any]
HTTPS = 443
AT_ONCE = 16
MOST_NAMES = 5000
MOST_CERTIFICATES = 10
LONGEST = 200


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where one connects, and the name that is asked for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """The endpoint of an ``https://`` address. Raises ValueError for anything else."""
    problem = problem_with(url)
    parts = urllib.parse.urlsplit(method_and_url(url)[1])
    if problem or parts.scheme != "https":
        raise ValueError(f"{url!r} has no certificate to look at: {problem or 'it is no https:// address'}")
    return Endpoint(str(parts.hostname), parts.port or HTTPS)


def _nothing(endpoint: Endpoint, urls: t.Sequence[str]) -> Served:
    now = told(datetime.datetime.now(datetime.UTC))
    return {"endpoint": str(endpoint), "name": endpoint.host, "urls": [*urls], "at": now, "failure": "", "distrust": "",
            "distrust_code": 0, "chain": []}  # fmt: skip


def look_at(endpoint: Endpoint, urls: t.Sequence[str], timeout: float, ca_path: str | None) -> Served:
    """One endpoint, with two handshakes: one that takes whatever is served, and one that judges it as a client does."""
    served = _nothing(endpoint, urls)
    try:
        served["chain"] = [certificate(der) for der in _chain(endpoint, timeout)[:MOST_CERTIFICATES]]
        with _handshake(endpoint, timeout, trusting(ca_path)):
            pass
    except ssl.SSLCertVerificationError as error:
        served["distrust"], served["distrust_code"] = str(error.verify_message or error.reason), int(error.verify_code or -1)
    except OSError as error:
        served["failure"] = _failure(error, timeout)
    except ValueError as error:
        served["failure"] = f"it serves what is no certificate: {error}"[:LONGEST]
    return served


def _failure(error: OSError, timeout: float) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no TLS handshake: {(getattr(error, 'reason', None) or str(error)).replace('_', ' ').lower()}"[:LONGEST]
    return f"{why_not(error)} after {timeout:g} s" if isinstance(error, TimeoutError) else why_not(error)


@contextlib.contextmanager
def _handshake(endpoint: Endpoint, timeout: float, context: ssl.SSLContext) -> t.Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as link,
    ):
        yield link


def _chain(endpoint: Endpoint, timeout: float) -> list[bytes]:
    """The certificates that are served, leaf first (DER)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _handshake(endpoint, timeout, context) as link:
        if hasattr(link, "get_unverified_chain"):  # Python 3.13
            return list(link.get_unverified_chain())
        held = t.cast("t.Any", link)._sslobj.get_unverified_chain() or []
        return [one.public_bytes(2) for one in held]  # 2 is DER (_ssl.ENCODING_DER)


def certificate(der: bytes) -> Certificate:
    """Raises ValueError for what cannot be read."""
    one = x509.load_der_x509_certificate(der)
    after = getattr(one, "not_valid_after_utc", None) or one.not_valid_after.replace(tzinfo=datetime.UTC)
    before = getattr(one, "not_valid_before_utc", None) or one.not_valid_before.replace(tzinfo=datetime.UTC)
    return {
        "subject": one.subject.rfc4514_string()[:LONGEST], "issuer": one.issuer.rfc4514_string()[:LONGEST], "names": _names(one),
        "not_before": told(before), "not_after": told(after), "serial": f"{one.serial_number:x}",
        "is_own_issuer": one.subject == one.issuer,
    }  # fmt: skip


def _names(one: t.Any) -> list[str]:
    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return [str(name)[:LONGEST] for name in names[:MOST_NAMES]]


def told(at: datetime.datetime) -> str:
    """A time as RFC 3339 has it; years before 1000 with four digits too, which strftime does not do everywhere."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def argument_spec() -> Spec:
    """The options of tls_endpoint_info."""
    return {
        "urls": {"type": "list", "elements": "str", "required": True},
        "timeout": {"type": "float", "default": 5.0},
        "ca_path": {"type": "path"},
    }


def served_from(params: t.Mapping[str, t.Any]) -> list[Served]:
    """What the endpoints of the addresses serve, each endpoint once. Raises ValueError for an address that is none."""
    behind: dict[Endpoint, list[str]] = {}
    for url in params["urls"]:
        behind.setdefault(endpoint_of(url), []).append(url)
    timeout = params["timeout"]
    looks = [lambda one=one, urls=urls: look_at(one, urls, timeout, params["ca_path"]) for one, urls in behind.items()]
    results = within_each(3 * timeout, looks, AT_ONCE)
    return [
        _late(endpoint, urls, result) if isinstance(result, Exception) else result
        for (endpoint, urls), result in zip(behind.items(), results, strict=True)
    ]


def _late(endpoint: Endpoint, urls: t.Sequence[str], error: Exception) -> Served:
    why = str(error) if isinstance(error, LateError) else f"{type(error).__name__} while it was looked at"
    return {**_nothing(endpoint, urls), "failure": why}
