# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting to PostgreSQL for a look or for one careful act (private to the collection)."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import time
import typing as t

try:
    import psycopg2
    import psycopg2.extensions

    PSYCOPG2_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    PSYCOPG2_IMPORT_ERROR = error

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

APPLICATION_NAME = "sre.runbooks"
TRIES_WHEN_FULL = 8
PAUSE_WHEN_FULL = 0.15

# libpq gives a failed connection no SQLSTATE of its own in psycopg2, so the server's sentence has to tell.
REFUSALS = (
    ("too_many_clients", "53300", r"too many clients|remaining connection slots are reserved"),
    ("database_limit", "53300", r"too many connections for database"),
    ("role_limit", "53300", r"too many connections for role"),
    ("authentication", "28P01", r"password authentication failed|no pg_hba\.conf entry|role \"[^\"]*\" does not exist"
                                r"|no password supplied|not permitted to log in|authentication method|authentication failed"
                                r"|permission denied for database"),
    ("no_such_database", "3D000", r"database \"[^\"]*\" does not exist"),
    ("not_accepting", "57P03", r"the database system is (?:starting up|shutting down|in recovery mode|not yet accepting)"
                               r"|not accepting connections"),
    ("pooler", None, r"unsupported startup parameter"),
    ("tls", None, r"server does not support SSL|certificate verify failed|SSL error|root certificate file"),
)  # fmt: skip
# https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest, which the server answers with one byte.
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")

# What the owner of a database or of a role may set for our sessions too (ALTER DATABASE … SET), and would make them end, wait or
# answer otherwise. What a client asks for at its start goes before that. Names resolve to the server's own objects first, so that
# nobody's function or operator runs as us; times read the same here and there.
SEARCH_PATH = "pg_catalog,pg_temp"
OPTIONS = {
    "search_path": SEARCH_PATH, "datestyle": "ISO", "timezone": "UTC",
    "statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "array_nulls": "on",
    "bytea_output": "hex", "exit_on_error": "off", "transform_null_equals": "off", "quote_all_identifiers": "off",
    "standard_conforming_strings": "on", "backslash_quote": "safe_encoding", "extra_float_digits": "1", "row_security": "on",
    "default_transaction_isolation": "read\\ committed", "default_transaction_deferrable": "off",
    "client_min_messages": "warning", "xmloption": "content", "IntervalStyle": "postgres",
}  # fmt: skip
# A pooler that shares sessions hands what is set in one on to whoever has it next.
POOLER = (
    "a pooler answers here, which shares its sessions with others: give the server itself (runbooks_db_host, runbooks_db_port)"
)
NEWER_OPTIONS = {"idle_session_timeout": 140000, "transaction_timeout": 170000}


@dataclasses.dataclass(frozen=True)
class Login:
    """Where and as whom to connect. ``password`` is None when a passfile or a peer login serves."""

    host: str
    port: int
    database: str
    user: str
    password: str | None = dataclasses.field(repr=False, default=None)
    ssl_mode: str = "prefer"
    connect_timeout: int = 5
    ca_cert: str | None = None

    @property
    def authentication(self) -> dict[str, t.Any]:
        """What else libpq must know of TLS and passwords. To a server whose certificate and name are not verified no password
        goes in clear text, whatever it asks for (libpq 16 and later can be told so).

        Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
        """
        found: dict[str, t.Any] = {"sslrootcert": self.ca_cert} if self.ca_cert else {}
        if self.ssl_mode != "verify-full" and psycopg2.extensions.libpq_version() >= 160000:
            found["require_auth"] = "!password"
        return found

    @property
    def name(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}, database {self.database}, as {self.user}"


def classify(message: str) -> tuple[str, str | None]:
    """The kind of a refused connection and its SQLSTATE, from libpq's sentence.

    >>> classify('FATAL:  sorry, too many clients already')
    ('too_many_clients', '53300')
    """
    for kind, sqlstate, pattern in REFUSALS:
        if re.search(pattern, message):
            return kind, sqlstate
    if not message.isascii():  # servers speak their administrator's language (lc_messages)
        return "not_understood", None
    return ("server_error" if "FATAL:" in message else "unreachable"), None


def _open(login: Login, options: t.Mapping[str, str]) -> psycopg2.extensions.connection:
    """One try to open a session. Raises RefusedConnectionError."""
    try:
        opened: psycopg2.extensions.connection = psycopg2.connect(
            host=login.host,
            port=login.port,
            dbname=login.database,
            user=login.user,
            password=login.password,
            sslmode=login.ssl_mode,
            **login.authentication,
            connect_timeout=login.connect_timeout,
            client_encoding="UTF8",  # what comes in another encoding does not end the run
            gssencmode="disable",  # a directory service that is down would be waited for without a limit
            application_name=APPLICATION_NAME,
            options=" ".join(f"-c {name}={value}" for name, value in options.items()),
            # A statement timeout does not cover a dead network; these do.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=20000,
        )
    except psycopg2.OperationalError as error:
        lines = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        reason = re.sub(r"^connection to server at .*? failed: ", "", " ".join(lines.split()))
        kind, sqlstate = classify(reason)
        if kind == "pooler":
            reason = f"{POOLER} ({reason})"
        if kind == "unreachable" and "timeout expired" in reason and answers(login.host, login.port):
            kind, reason = "login_hangs", f"the server answers, and a login takes longer than {login.connect_timeout} s"
        raise RefusedConnectionError(login.name, reason, kind=kind, sqlstate=sqlstate) from error
    return opened


def answers(host: str, port: int, timeout: float = 2.0) -> bool:
    """Whether a PostgreSQL server answers at all, before any login."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(SSL_REQUEST)
        return connection.recv(1) in (b"S", b"N", b"E")
    return False


def _opened(login: Login, options: t.Mapping[str, str], sleep: t.Callable[[float], None]) -> psycopg2.extensions.connection:
    """A session, even where it takes some tries: while many clients try to connect, each try takes a slot for a moment, the
    reserved ones too. Raises RefusedConnectionError."""
    for _attempt in range(TRIES_WHEN_FULL - 1):
        try:
            return _open(login, options)
        except RefusedConnectionError as refusal:
            if refusal.kind != "too_many_clients":
                raise
        sleep(PAUSE_WHEN_FULL)
    return _open(login, options)


def _settle(connection: psycopg2.extensions.connection, login: Login) -> None:
    """Sets what only newer servers know. Raises RefusedConnectionError where that is not answered, and before anything is set
    where the session does not go by what it was opened with: a pooler has let it fall."""
    connection.autocommit = True
    newer = "".join(f"SET {name} = 0;" for name, version in NEWER_OPTIONS.items() if connection.server_version >= version)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.current_setting('search_path')")
            (path,) = cursor.fetchone() or ("",)
            if path != SEARCH_PATH:
                raise RefusedConnectionError(login.name, POOLER, kind="pooler", sqlstate=None)
            if newer:
                cursor.execute(newer)
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise RefusedConnectionError(login.name, reason, kind="unreachable", sqlstate=error.pgcode) from error


def _settled(login: Login, sleep: t.Callable[[float], None]) -> psycopg2.extensions.connection:
    """A session that goes by our settings. Raises RefusedConnectionError."""
    connection = _opened(login, OPTIONS, sleep)
    try:
        _settle(connection, login)
    except RefusedConnectionError as refusal:
        if refusal.kind == "pooler":
            connection.close()
            raise
        # It was ended before it could say that it goes by other time limits. An older server would not know these options.
        version = connection.server_version
        connection.close()
        newer = {name: "0" for name, since in NEWER_OPTIONS.items() if version >= since}
        connection = _opened(login, {**OPTIONS, **newer}, sleep)
        _settle(connection, login)
    return connection


@contextlib.contextmanager
def connected(login: Login, *, sleep: t.Callable[[float], None] = time.sleep) -> t.Iterator[psycopg2.extensions.connection]:
    """One session, in autocommit, closed at the end. Raises RefusedConnectionError."""
    if not login.user:
        raise RefusedConnectionError(login.name, "no role to log in as is given", kind="authentication", sqlstate=None)
    connection = _settled(login, sleep)
    try:
        yield connection
    finally:
        connection.close()


def login_from(params: t.Mapping[str, t.Any]) -> Login:
    """The login that a module's parameters describe (see the documentation fragment ``postgresql_login``)."""
    return Login(
        host=params["login_host"],
        port=params["login_port"],
        database=params["login_db"],
        user=params["login_user"],
        password=params["login_password"] or None,
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"] or None,
        connect_timeout=params["connect_timeout"],
    )


def login_argument_spec() -> Spec:
    """The login options that the PostgreSQL modules share."""
    return {
        "login_host": {"type": "str", "required": True},
        "login_port": {"type": "int", "default": 5432},
        "login_db": {"type": "str", "required": True},
        "login_user": {"type": "str", "required": True},
        "login_password": {"type": "str", "no_log": True},
        "ssl_mode": {
            "type": "str",
            "default": "prefer",
            "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_cert": {"type": "path"},
        "connect_timeout": {"type": "int", "default": 5},
    }
