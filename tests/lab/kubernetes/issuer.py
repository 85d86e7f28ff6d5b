"""Who logs users in: RSA keys with names, those that are published, and tokens signed with them (RFC 7515, 7517, 7519)."""

from __future__ import annotations

import base64
import json
import time
import typing as t

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.lab.state import Lab

FILE = "issuer.json"
FIRST = "key-1"
LIFE_SECONDS = 900
Json = dict[str, t.Any]


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def add_key(lab: Lab, kid: str, published: t.Sequence[str]) -> None:
    """A new key; ``published`` are from now on those that others may know."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    known = (lab.read(FILE) or {"keys": {}})["keys"]
    lab.write(FILE, {"keys": {**known, kid: pem}, "published": list(published)})


def _private(lab: Lab, kid: str) -> rsa.RSAPrivateKey:
    found = serialization.load_pem_private_key((lab.read(FILE) or {})["keys"][kid].encode(), None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def document(lab: Lab, path: str, issuer: str) -> Json | None:
    """What the issuer publishes below its address; None for another path."""
    if path == "/.well-known/openid-configuration":
        return {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    if path != "/keys":
        return None
    numbers = {kid: _private(lab, kid).public_key().public_numbers() for kid in (lab.read(FILE) or {})["published"]}
    return {"keys": [{"kty": "RSA", "kid": kid, "n": _number(one.n), "e": _number(one.e)} for kid, one in numbers.items()]}


def token(lab: Lab, issuer: str, kid: str = FIRST, **claims: float) -> str:
    """What a user got who has just logged in."""
    now = int(time.time())
    body = {"iss": issuer, "sub": "user-7", "iat": now, "nbf": now, "exp": now + LIFE_SECONDS, **claims}
    signed = ".".join(_encoded(json.dumps(one).encode()) for one in ({"alg": "RS256", "kid": kid}, body))
    signature = _private(lab, kid).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_encoded(signature)}"


def why_refused(lab: Lab, text: str, ahead: float = 0.0) -> str | None:
    """Why a service that reads the published keys refuses a token, by a clock that is so many seconds ahead; None otherwise."""
    try:
        signed, _dot, signature = text.rpartition(".")
        header, body = (json.loads(_decoded(one)) for one in signed.split("."))
        if header["alg"] != "RS256" or header["kid"] not in (lab.read(FILE) or {})["published"]:
            return f"unknown key {header.get('kid')}"
        public = _private(lab, header["kid"]).public_key()
        public.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "signature verification failed"
    except (ValueError, KeyError, TypeError):
        return "malformed"
    now = time.time() + ahead
    if now < float(body["nbf"]):
        return "not yet valid"
    return "expired" if now > float(body["exp"]) else None
