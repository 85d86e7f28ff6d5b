"""The lab's own certificate authority, and the certificates that its edge serves."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.state import Lab

HOST = "127.0.0.1"
SERVED = "edge.pem"
TRUSTED = "authority.pem"
DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: Key) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _signed(
    subject: str, issuer: str, own: Key, by: Key, times: tuple[datetime.datetime, datetime.datetime], *more: x509.ExtensionType
) -> bytes:
    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(own.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(times[0]).not_valid_after(times[1])
    keys = (
        x509.SubjectKeyIdentifier.from_public_key(own.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()),
    )
    for extension in (*keys, *more):
        builder = builder.add_extension(extension, critical=isinstance(extension, (x509.BasicConstraints, x509.KeyUsage)))
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_authority(lab: Lab) -> None:
    """A root that is trusted in the lab, and an authority below it that signs."""
    now = datetime.datetime.now(datetime.UTC)
    root, below = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    times = (now - 400 * DAY, now + 400 * DAY)
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    signs = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    lab.file(TRUSTED).write_bytes(_signed("Lab Root", "Lab Root", root, root, times, is_authority, signs))
    lab.file("below.pem").write_bytes(_signed("Lab Authority", "Lab Root", below, root, times, is_authority, signs))
    lab.file("below.key").write_bytes(_pem(below))


def serve(lab: Lab, *, ends: datetime.timedelta = 90 * DAY, host: str = HOST, whole: bool = True) -> None:
    """Puts a new certificate where the edge takes it from: for a host, ending so long from now, with its issuer's or alone."""
    now = datetime.datetime.now(datetime.UTC)
    own = ec.generate_private_key(ec.SECP256R1())
    below = t.cast("Key", serialization.load_pem_private_key(lab.file("below.key").read_bytes(), None))
    general = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    names = x509.SubjectAlternativeName([general])
    leaf = _signed(host, "Lab Authority", own, below, (now - 100 * DAY, now + ends), names)
    partial = lab.file(f"{SERVED}.partial")
    partial.write_bytes(_pem(own) + leaf + (lab.file("below.pem").read_bytes() if whole else b""))
    partial.replace(lab.file(SERVED))
