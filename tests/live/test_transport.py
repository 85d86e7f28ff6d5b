"""The way to the vendors on a real network: servers that are slow, endless, packed, forged or gone, and who sees what."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import ipaddress
import pathlib
import resource
import socket
import ssl
import threading
import time
import typing as t
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import collection
from tests.lab.state import wait_until

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError, UnreachedError
from ansible_collections.sre.runbooks.plugins.module_utils._http.opener import opened
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import LARGEST_ANSWER, UrlTransport
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login, connected
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import Wanted, fetch
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.smtp import deliver

Json = dict[str, t.Any]
Talk = t.Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
KEY = {"Authorization": "Token token=secret"}


class Server:
    """Listens and lets ``talk`` have each connection; ``seen`` is everything that came first."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[bytes] = []
        self._talk, self._context = talk, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listening.accept()
                threading.Thread(target=self._have, args=(connection,), daemon=True).start()

    def _have(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self.seen.append(connection.recv(65536))
            self._talk(connection)
            # What is closed with something unread is reset, and the answer with it.
            connection.settimeout(1.0)
            connection.recv(65536)

    def close(self) -> None:
        self._listening.close()


@contextlib.contextmanager
def serving(talk: Talk, context: ssl.SSLContext | None = None) -> t.Iterator[Server]:
    server = Server(talk, context)
    try:
        yield server
    finally:
        server.close()


def answering(content: bytes) -> Talk:
    return lambda connection: connection.sendall(content)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.2)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def hang(connection: socket.socket) -> None:
    # A request may come in several pieces: only the other side's end is the end.
    while connection.recv(65536):
        pass


BOMB = gzip.compress(b"0" * (256 * 1024 * 1024), 9)
PACKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{"


def asked(server: Server, scheme: str = "http", seconds: float = 5.0, **transport: t.Any) -> t.Any:
    return UrlTransport(**transport)("POST", f"{scheme}://127.0.0.1:{server.port}/x", KEY, b"{}", seconds)


NO_ANSWERS: list[tuple[str, Talk, str]] = [
    ("a byte now and then", drip, "not within 1 s"),
    ("silence", hang, "timed out|not within"),
    ("an endless body", endless, "larger than 4 MiB"),
    ("a packed body that is larger than it looks", answering(PACKED % (len(BOMB), BOMB)), "larger than 4 MiB"),
    ("a body that is cut short", answering(CUT), "cut short"),
    ("no HTTP", answering(b"SSH-2.0-x\r\n\r\n"), "SSH"),
    ("packed, it says", answering(PACKED % (2, b"{}")), "decompressing"),
]


@pytest.mark.parametrize(("name", "talk", "why"), NO_ANSWERS, ids=[one[0] for one in NO_ANSWERS])
def test_no_usable_answer_in_time_and_in_size_is_none(name: str, talk: Talk, why: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with serving(talk) as server, pytest.raises(NetworkError, match=why) as error:
        asked(server, seconds=1.0 if talk in (drip, hang) else 20.0)
    assert not isinstance(error.value, UnreachedError)
    assert time.monotonic() - started < 15.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * LARGEST_ANSWER / 1024


def test_a_packed_answer_is_read() -> None:
    content = gzip.compress(b'{"a": 1}')
    with serving(answering(PACKED % (len(content), content))) as server:
        assert asked(server).body == b'{"a": 1}'


def test_a_netrc_and_a_proxy_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / ".netrc").write_text("default login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        asked(server)
        assert b"Authorization: Token token=secret" in server.seen[0]
        assert proxy.seen == []


def test_of_exchanges_side_by_side_each_has_its_own_check_of_certificates(authority: Authority) -> None:
    """Ansible's opener belongs to the process: whoever installed it last decided for everybody."""
    reached: list[str] = []

    def ask(validate_certs: bool) -> None:
        for _ in range(20):
            try:
                asked(server, "https", validate_certs=validate_certs)
                reached.append(str(validate_certs))
            except UnreachedError:
                pass

    with serving(answering(OK), authority.context) as server:
        threads = [threading.Thread(target=ask, args=(checks,)) for checks in (True, False) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (reached.count("True"), reached.count("False")) == (0, 60)


def test_nothing_is_sent_over_a_connection_that_came_about_too_late(authority: Authority) -> None:
    """The thread of an exchange that was given up goes on until its peer has answered: it must not send then."""
    received: list[bytes] = []

    def read(connection: socket.socket) -> None:
        try:
            with authority.context.wrap_socket(connection, server_side=True) as tls:
                received.append(tls.recv(65536))
        except OSError:  # the connection ended
            received.append(b"")

    given_up = threading.Event()
    given_up.set()
    with post(read) as port:
        request = urllib.request.Request(f"https://127.0.0.1:{port}/x", b"{}", KEY, method="POST")
        with pytest.raises(UnreachedError, match="given up"):
            opened(request, 5.0, given_up, use_proxy=False, validate_certs=False)
        wait_until(lambda: bool(received), 5, "the end of the connection")
    assert received == [b""]


def test_a_redirect_takes_the_key_nowhere() -> None:
    with serving(answering(OK)) as other:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
        with serving(answering(moved.encode())) as server:
            assert asked(server).status == 307
        assert other.seen == []


def test_what_never_left_is_told_from_what_may_have_arrived() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "https://does-not-exist.invalid/"):
        with pytest.raises(UnreachedError):
            UrlTransport()("POST", url, KEY, b"{}", 5.0)


def test_a_health_probe_ends_in_time_too() -> None:
    with serving(drip) as server:
        sample = fetch(f"http://127.0.0.1:{server.port}/health", Wanted(timeout=1.0))
    assert sample.failure == "timed out after 1 s"
    assert sample.milliseconds < 2000


# -- certificates and mail -----------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of one test, and a server's certificate that it has signed."""

    def __init__(self, folder: pathlib.Path) -> None:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        until = now + datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        private = folder / "key.pem"
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.file, private)


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> Authority:
    return Authority(tmp_path)


def test_a_server_that_nobody_vouches_for_sees_nothing(authority: Authority) -> None:
    with serving(answering(OK), authority.context) as server:
        with pytest.raises(UnreachedError, match="certificate verify failed"):
            asked(server, "https")
        assert server.seen == []
        assert asked(server, "https", validate_certs=False).status == 200


class Post:
    """A mail server with STARTTLS that writes down what it is told, and ends as it is asked to at the end of a text."""

    def __init__(self, authority: Authority, end: bytes | None = b"250 taken\r\n", offers_tls: bool = True) -> None:
        self.told: list[str] = []
        self.pause = 0.0
        self._authority, self._end, self._offers_tls = authority, end, offers_tls

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"220 post\r\n")
        lines, greeted = connection.makefile("rb"), False
        while line := lines.readline():
            time.sleep(self.pause)
            word = line.decode().strip().upper()
            self.told.append(word)
            greeted = word.startswith("EHLO") or (greeted and word != "STARTTLS")
            if word.startswith("MAIL") and not greeted:
                connection.sendall(b"503 5.5.2 Send hello first\r\n")
            elif word.startswith("EHLO"):
                tls = b"250-STARTTLS\r\n" if self._offers_tls and not isinstance(connection, ssl.SSLSocket) else b""
                connection.sendall(b"250-post\r\n" + tls + b"250 AUTH PLAIN\r\n")
            elif word == "STARTTLS":
                connection.sendall(b"220 go on\r\n")
                connection = self._authority.context.wrap_socket(connection, server_side=True)
                lines = connection.makefile("rb")
            elif word.startswith("AUTH"):
                connection.sendall(b"235 welcome\r\n")
            elif word == "DATA":
                connection.sendall(b"354 go on\r\n")
                while lines.readline() not in (b".\r\n", b""):
                    pass
                if self._end is None:
                    return
                connection.sendall(self._end)
            else:
                connection.sendall(b"250 ok\r\n")


@contextlib.contextmanager
def post(talk: Talk) -> t.Iterator[int]:
    """A server that speaks first."""
    listening = socket.create_server(("127.0.0.1", 0))

    def have(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            talk(connection)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=have, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.close()


def mailed(port: int, **changes: t.Any) -> Json:
    args: Json = {
        "host": "127.0.0.1", "port": port, "username": "runbooks", "password": "hunter2", "secure": "starttls", "ca_path": None,
        "timeout": 2.0, "allow_plaintext": False, "sender": "a@example.org", "to": ["b@example.org"],
        "subject": "[P2] Slow", "body": "Cause: known.\n", "incident": "db-x-20261124T0214Z", **changes,
    }  # fmt: skip
    result = deliver(args, check_mode=False)
    assert "hunter2" not in str(result)
    return {name: result.get(name) for name in ("failed", "unknown", "down")}


SENT = {"failed": None, "unknown": None, "down": None}


def test_a_mail_goes_to_a_server_that_an_authority_vouches_for(authority: Authority) -> None:
    server = Post(authority)
    with post(server.talk) as port:
        assert mailed(port, ca_path=str(authority.file)) == SENT
    assert server.told.index("STARTTLS") < next(n for n, word in enumerate(server.told) if word.startswith("AUTH"))


REFUSED = {"failed": True, "unknown": False, "down": False}


@pytest.mark.parametrize("trusts", [False, True], ids=["a certificate of nobody", "no encryption on offer"])
def test_a_password_is_told_to_no_other_server(authority: Authority, trusts: bool) -> None:
    server = Post(authority, offers_tls=not trusts)
    with post(server.talk) as port:
        assert mailed(port, ca_path=str(authority.file) if trusts else None) == REFUSED
    assert not [word for word in server.told if word.startswith(("AUTH", "MAIL"))]


def test_a_password_is_not_sent_unencrypted_to_another_machine() -> None:
    assert mailed(25, host="mail.example.org", secure="never") == REFUSED


ENDS: list[tuple[str, bytes | None, Json]] = [
    ("taken", b"250 taken\r\n", SENT),
    ("refused", b"554 spam\r\n", REFUSED),
    ("later", b"451 later\r\n", REFUSED),
    ("broken off", None, {"failed": True, "unknown": True, "down": False}),
]


@pytest.mark.parametrize(("name", "end", "expected"), ENDS, ids=[one[0] for one in ENDS])
def test_what_became_of_a_mail(authority: Authority, name: str, end: bytes | None, expected: Json) -> None:
    with post(Post(authority, end).talk) as port:
        assert mailed(port, secure="never") == expected


@pytest.mark.parametrize("secure", ["never", "starttls"])
def test_a_server_is_greeted_before_it_is_given_a_mail(authority: Authority, secure: str) -> None:
    with post(Post(authority).talk) as port:
        assert mailed(port, secure=secure, ca_path=str(authority.file), username=None, password=None) == SENT


def test_a_mail_that_was_given_up_is_not_delivered_later(authority: Authority) -> None:
    server = Post(authority)
    server.pause = 0.4
    with post(server.talk) as port:
        assert mailed(port, secure="never", timeout=1.0) == {"failed": True, "unknown": False, "down": True}
        time.sleep(3.0)  # as long as the whole exchange would take
    assert "DATA" not in server.told


def test_a_request_whose_name_was_looked_up_for_too_long_is_not_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def slow(*args: t.Any, **kwargs: t.Any) -> t.Any:
        time.sleep(1.5)
        return look_up(*args, **kwargs)

    with serving(answering(OK)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with pytest.raises(UnreachedError):
            asked(server, seconds=0.5)
        time.sleep(3.5)
        assert server.seen == []


def test_a_mail_server_that_says_nothing_is_down_in_time() -> None:
    started = time.monotonic()
    with post(hang) as port:
        assert mailed(port, timeout=0.5) == {"failed": True, "unknown": False, "down": True}
    assert time.monotonic() - started < 3


# -- databases -----------------------------------------------------------------------------------------------------------

CLEARTEXT = b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big")


@pytest.mark.parametrize("mode", ["prefer", "disable"])
@pytest.mark.parametrize("from_environment", [False, True], ids=["given", "of the environment"])
def test_a_server_that_asks_for_a_password_in_clear_text_does_not_get_it(
    mode: str, from_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    said: list[bytes] = []

    def rogue(connection: socket.socket) -> None:
        while first := connection.recv(4096):
            said.append(first)
            connection.sendall(b"N" if len(first) == 8 else CLEARTEXT)

    password = None if from_environment else "hunter2"
    with post(rogue) as port, pytest.raises(RefusedConnectionError, match="cleartext password") as error:
        with connected(Login("127.0.0.1", port, "custody_db", "runbooks_monitor", password, ssl_mode=mode)):
            pass
    assert error.value.kind == "authentication"
    assert b"hunter2" not in b"".join(said)


def test_a_server_whose_certificate_is_wanted_and_that_has_none_gets_nothing() -> None:
    said: list[bytes] = []

    def plain_only(connection: socket.socket) -> None:
        while first := connection.recv(4096):
            said.append(first)
            connection.sendall(b"N")

    with post(plain_only) as port, pytest.raises(RefusedConnectionError) as error:
        with connected(Login("127.0.0.1", port, "custody_db", "runbooks_monitor", "hunter2", ssl_mode="verify-full")):
            pass
    assert error.value.kind == "tls"
    assert b"runbooks_monitor" not in b"".join(said)
