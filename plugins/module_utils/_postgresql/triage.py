# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collecting the diagnostics over one connection, each degrading alone, all within one deadline (private to the collection)."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

try:
    import psycopg2
    import psycopg2.extensions
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import locks, planning, queries, samples, text
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    Login,
    connected,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError, UnansweredError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.plans import UnplannableError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS, Diagnostic
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.sql import UnreadableSqlError
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import Wanted as Probe
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import fetch, is_read
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

Row = dict[str, t.Any]
NO_ROLE_FOR_PLANS = "no role for plans is named (runbooks_db_plan_user; docs/database-roles.md says why it is one of its own)"
ONLY_THE_APPLICATION = "only statements of the roles that are named in runbooks_db_application_users are planned"
PLANNED_AT_MOST = 3
# One that holds a lock for longer than this is no passer-by.
HELD_SECONDS = 1.0
# How often a question about this moment is asked again while only we imitate users.
MOMENTS = 30
# What a hung client gets beyond the deadline, so that the server's own time limit is what is told.
GRACE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long one diagnostic and all together may take, what of the statements' texts may leave the server, whose sessions
    are the application's, and what to ask of it while nobody is seen."""

    statement_timeout_ms: int = 3000
    lock_timeout_ms: int = 50
    seconds: float = 10.0
    query_text: bool = False
    query_text_max: int = 200
    mask_literals: bool = True
    application_users: tuple[str, ...] = ()
    look_seconds: float = 0.0
    probe_urls: tuple[str, ...] = ()


def triage(login: Login, limits: Limits, wanted: t.Collection[str], planner: Login | None = None) -> Row:
    """Everything that is asked, from one session; plans from one of ``planner``.

    Returns ``connected`` (bool), ``refusal`` (kind, sqlstate, message; None when connected), one key for each
    diagnostic that was read, ``gaps`` (diagnostic, reason, sqlstate) for those that were not, and ``duration_ms``.
    A refused connection is an answer here, not an error; a server that hangs is one at the deadline.
    """
    started = time.monotonic()
    look = _Look(login, limits, [one for one in DIAGNOSTICS if one.name in wanted], planner, started + limits.seconds)
    thread = threading.Thread(target=look.run, daemon=True)
    thread.start()
    thread.join(limits.seconds + GRACE_SECONDS)
    return {**look.told(), "duration_ms": round((time.monotonic() - started) * 1000)}


class _Look:
    """One look at a server, in a thread of its own that is left behind when the server hangs."""

    def __init__(
        self, login: Login, limits: Limits, wanted: t.Sequence[Diagnostic], planner: Login | None, deadline: float
    ) -> None:
        self.login, self.limits, self.wanted, self.planner, self.deadline = login, limits, wanted, planner, deadline
        self.lock = threading.Lock()
        self.connected = False
        self.refusal: Row | None = None
        self.read: Row = {}
        self.gaps: list[Row] = []
        self.unreadable: dict[str, int] = {}
        self.first: tuple[float, list[Row]] | None = None
        self.locks_read_at = 0.0
        self.imitating: threading.Event | None = None
        self.connection: psycopg2.extensions.connection

    def run(self) -> None:
        try:
            with connected(self.login) as self.connection:
                self.connected = True
                self._be_careful()
                for diagnostic in self.wanted:
                    self._read(diagnostic)
        except RefusedConnectionError as refusal:
            self.refusal = {"kind": refusal.kind, "sqlstate": refusal.sqlstate, "message": refusal.reason}
        except Exception as error:  # whatever it is, what was read stays, and the rest is a gap
            if self.connected:
                self._gap("PostgreSQL", error)
            else:  # a refusal in another encoding, a character that no login may have
                message = f"{type(error).__name__} as a session was opened"
                self.refusal = {"kind": "not_understood", "sqlstate": None, "message": message}
        finally:
            if self.imitating is not None:
                self.imitating.set()

    def told(self) -> Row:
        """What is known by now."""
        with self.lock:
            read, gaps = dict(self.read), list(self.gaps)
        refusal = self.refusal
        if not self.connected and refusal is None:
            refusal = {"kind": "login_hangs", "sqlstate": None, "message": f"no answer within {self.limits.seconds:g} s"}
        if self.connected:
            known = {*read, *(gap["diagnostic"] for gap in gaps)}
            late = f"not answered within {self.limits.seconds:g} s (db_diagnostics_seconds_max)"
            gaps += [{"diagnostic": one.name, "reason": late, "sqlstate": None} for one in self.wanted if one.name not in known]
            for reason, number in sorted(self.unreadable.items()):
                gaps.append({"diagnostic": f"the text of {number} statements", "reason": reason, "sqlstate": None})
        return {"connected": self.connected, "refusal": refusal, **read, "gaps": gaps}

    def _be_careful(self) -> None:
        """From here on each question is a read-only transaction of its own under its own time limits (autocommit)."""
        psycopg2.extensions.register_type(psycopg2.extensions.BYTES, self.connection)
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SET default_transaction_read_only = on;"
                f"SET statement_timeout = {self.limits.statement_timeout_ms:d};"
                f"SET lock_timeout = {self.limits.lock_timeout_ms:d}"
            )

    def _read(self, diagnostic: Diagnostic) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0 or self.connection.closed:
            return
        try:
            if left * 1000 < self.limits.statement_timeout_ms:
                self.ask(f"SET statement_timeout = {max(1, int(left * 1000)):d}")
            maker = MAKERS.get(diagnostic.name, _plain)
            found = maker(self, diagnostic)
        except Exception as error:  # one question that fails, whyever, leaves the others answered
            self._gap(diagnostic.name, error)
            return
        with self.lock:
            self.read[diagnostic.name] = found

    def _gap(self, name: str, error: Exception) -> None:
        reason = " ".join(str(error).split()) or "no reason given"
        if not isinstance(error, (psycopg2.Error, UnansweredError)):
            reason = f"{type(error).__name__}: {reason}"
        with self.lock:
            self.gaps.append({"diagnostic": name, "reason": reason, "sqlstate": getattr(error, "pgcode", None)})

    def ask(self, statement: str, values: t.Any = None) -> list[Row]:
        """One question, in a transaction of its own. Raises psycopg2.Error."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            columns = cursor.description or ()
            names = [column.name for column in columns]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
        for name in [column.name for column in columns if column.type_code in psycopg2.extensions.BYTES.values]:
            for row in found:
                row[name] = decoded(row[name])
        return found

    def imitate_users(self) -> None:
        """Asks for the URLs, one after the other, again and again, until the look is over."""
        over = self.imitating = threading.Event()
        urls = [url for url in self.limits.probe_urls if is_read(url)]

        def ask() -> None:
            while not over.wait(0.01):
                for url in urls:
                    fetch(url, Probe(timeout=1.0))

        threading.Thread(target=ask, daemon=True).start()

    def ask_until_seen(self, statement: str) -> list[Row]:
        """The rows of a question about who is at work at this moment; while only we imitate users, that is not every moment."""
        rows = self.ask(statement)
        tries = MOMENTS if self.imitating is not None else 0
        while not rows and tries:
            time.sleep(0.02)
            rows, tries = self.ask(statement), tries - 1
        return rows

    def show_statements(self, rows: list[Row]) -> None:
        """Replaces each statement's text by its kind and by as much of it as may leave the server."""
        for row in rows:
            if "query" in row:
                query = row.pop("query")
                row["command"] = text.command_of(query or "")
                row["query"] = self._shown(query, at_work="pid" in row or "pids" in row)

    def _shown(self, query: str | None, *, at_work: bool) -> str | None:
        limits = self.limits
        try:
            if limits.query_text and limits.mask_literals and at_work and len((query or "").encode()) >= self._cut_at:
                raise UnreadableSqlError("its text is cut (track_activity_query_size)")
            return text.shown(query, with_text=limits.query_text, longest=limits.query_text_max, mask=limits.mask_literals)
        except UnreadableSqlError as error:
            self.unreadable[str(error)] = self.unreadable.get(str(error), 0) + 1
            return None

    @property
    def _cut_at(self) -> int:
        """From how many bytes on the text of a session's statement may be cut; 0 where that is not known."""
        size = [int(one["setting"]) for one in self.read.get("settings", []) if one["name"] == "track_activity_query_size"]
        return max(0, size[0] - 4) if size else 0

    def is_application(self, row: Row) -> bool:
        """Whether a session is one of the application's: by its role where the roles are named."""
        users = self.limits.application_users
        here = row["database"] == (self.read.get("server") or {}).get("database")
        return here and (row["user"] in users if users else not row["superuser"])

    def path_of(self, user: str) -> list[str]:
        """The search path that a role's sessions begin with."""
        own = [one for one in self.read.get("role_settings", []) if one["name"] == "search_path"]
        database = self.read["server"]["database"]
        keys = ((user, database), (user, None), (None, database))
        settings = [one["setting"] for key in keys for one in own if (one["user"], one["database"]) == key]
        settings += [one["setting"] for one in self.read.get("settings", []) if one["name"] == "search_path"]
        names = (settings or ['"$user", public'])[0].split(",")
        return [user if name.strip().strip('"') == "$user" else name.strip().strip('"') for name in names if name.strip()]


def decoded(value: t.Any) -> t.Any:
    """A text as it can be read: a statement of another database may hold bytes of another encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _plain(look: _Look, diagnostic: Diagnostic) -> t.Any:
    rows = look.ask_until_seen(diagnostic.text) if diagnostic.name == "busy_tables" else look.ask(diagnostic.text)
    look.show_statements(rows)
    return rows[0] if diagnostic.single else rows


def _locks(look: _Look, diagnostic: Diagnostic) -> Row:
    look.locks_read_at = time.monotonic()
    return lock_tree(_plain(look, diagnostic), look.limits.application_users)


def _holders(look: _Look, diagnostic: Diagnostic) -> list[Row]:
    """Whether those that held up several others are still in the same transaction, at least a second later (``still``)."""
    tree = look.read.get("locks") or {"sessions": [], "roots": []}
    sessions = {session["pid"]: session for session in tree["sessions"]}
    pids = [root["pid"] for root in tree["roots"] if len(root["holds_up"]) > 1 and root["pid"] in sessions]
    holders = [pid for pid in pids if pid and not sessions[pid]["wants"]]
    if not holders:
        return []
    time.sleep(max(0.0, min(look.locks_read_at + HELD_SECONDS, look.deadline - 0.5) - time.monotonic()))
    later = {row["pid"]: row for row in look.ask(queries.HOLDERS, (holders,))}
    seconds = round(time.monotonic() - look.locks_read_at, 1)
    names = ("backend_start", "xact_start")
    return [
        {"pid": pid, "seconds": seconds,
         "still": pid in later and all(later[pid][name] == sessions[pid][name] for name in names)}
        for pid in holders
    ]  # fmt: skip


def _application_roles(look: _Look, diagnostic: Diagnostic) -> list[Row]:
    users = list(look.limits.application_users)
    return look.ask(queries.APPLICATION_ROLES, (users,)) if users else []


def _samples(look: _Look, diagnostic: Diagnostic) -> Row:
    """Who was at work how often (``samples.summary``), while users are imitated if nobody is seen otherwise."""
    look.first = _counters(look)
    started, limits = time.monotonic(), look.limits
    longest = min(limits.look_seconds, look.deadline - started - 1.0)
    if longest > 0 and limits.probe_urls:
        look.imitate_users()
    rounds = samples.looks(
        lambda: look.ask(diagnostic.text), times=diagnostic.times, pause=diagnostic.pause, longest=longest,
        matters=look.is_application,
    )  # fmt: skip
    return samples.summary(rounds, time.monotonic() - started)


def _schema_of_statements(look: _Look) -> str:
    server = look.read.get("server") or {}
    if not server.get("statements_version"):
        raise UnansweredError("pg_stat_statements is not installed in this database: CREATE EXTENSION pg_stat_statements")
    if not server["statements_trusted"]:
        schema = server["statements_schema"]
        raise UnansweredError(
            f"pg_stat_statements lies in the schema {schema}, whose owner is no superuser and could put a "
            "function of their own in its place, which would run as this role: "
            "CREATE SCHEMA monitoring; ALTER EXTENSION pg_stat_statements SET SCHEMA monitoring"
        )
    return str(server["statements_schema"])


def _counters(look: _Look) -> tuple[float, list[Row]] | None:
    """A first reading of pg_stat_statements, None where there is none."""
    if not any(one.name == "statements" for one in look.wanted):
        return None
    with contextlib.suppress(UnansweredError, psycopg2.Error):
        return time.monotonic(), look.ask(queries.statements(_schema_of_statements(look)))
    return None


def _statements(look: _Look, diagnostic: Diagnostic) -> Row:
    """What the statements cost between the two readings: ``seconds`` between them, ``top`` (see ``samples.counted``)."""
    schema = _schema_of_statements(look)
    at, before = look.first or (time.monotonic(), [])
    now = look.ask(queries.statements(schema))
    seconds = time.monotonic() - at
    top = samples.counted(before or now, now, seconds)
    texts = {}
    if look.limits.query_text:
        rows = look.ask(queries.statement_texts(schema), ([one["statement"] for one in top],))
        texts = {row["statement"]: row["query"] for row in rows}
    for one in top:
        one["query"] = texts.get(one["statement"])
    look.show_statements(top)
    return {"seconds": round(seconds, 2), "top": top}


def _plans(look: _Look, diagnostic: Diagnostic) -> list[Row]:
    """The statements at work; each with the ``scans`` and ``loops`` of its plan and its ``cost``, or ``refused``."""
    found = look.ask_until_seen(diagnostic.text)
    for number, row in enumerate(found):
        row.update(scans=[], loops=[], cost=None, refused=None)
        locked, cut = row.pop("locked"), row.pop("cut")
        try:
            if number >= PLANNED_AT_MOST:
                raise UnplannableError(f"only the {PLANNED_AT_MOST} statements with most sessions are planned")
            row.update(_planned(look, row, locked, cut=cut))
        except UnplannableError as error:
            row["refused"] = str(error)
        except Exception as error:  # one plan that fails leaves the others
            row["refused"] = f"{type(error).__name__} while its plan was asked for"
    look.show_statements(found)
    return found


def _planned(look: _Look, row: Row, locked: list[int], *, cut: bool) -> Row:
    if row["superuser"] or row["user"] not in look.limits.application_users:
        raise UnplannableError(ONLY_THE_APPLICATION)
    if look.planner is None:
        raise UnplannableError(NO_ROLE_FOR_PLANS)
    if cut:
        raise UnplannableError("its text is cut at track_activity_query_size")
    busy = planning.Busy(row["query"], tuple(locked), tuple(look.path_of(row["user"])))
    left = int((look.deadline - time.monotonic()) * 1000)
    timeout = max(1, min(look.limits.statement_timeout_ms, left))
    return planning.plan_of(look.planner, busy, timeout_ms=timeout, lock_timeout_ms=look.limits.lock_timeout_ms)


Maker = t.Callable[[_Look, Diagnostic], t.Any]
MAKERS: dict[str, Maker] = {
    "locks": _locks, "application_roles": _application_roles, "samples": _samples, "statements": _statements,
    "plans": _plans, "holders": _holders,
}  # fmt: skip


def argument_spec() -> Spec:
    """The options of postgresql_triage_info."""
    names = [diagnostic.name for diagnostic in DIAGNOSTICS]
    return {
        **login_argument_spec(),
        "diagnostics": {"type": "list", "elements": "str", "default": names, "choices": names},
        "statement_timeout_ms": {"type": "int", "default": 3000},
        "lock_timeout_ms": {"type": "int", "default": 50},
        "seconds_max": {"type": "float", "default": 10.0},
        "query_text": {"type": "bool", "default": False},
        "query_text_max": {"type": "int", "default": 200},
        "mask_literals": {"type": "bool", "default": True},
        "application_users": {"type": "list", "elements": "str", "default": []},
        "plan_user": {"type": "str"},
        "plan_password": {"type": "str", "no_log": True},
        "look_seconds": {"type": "float", "default": 0.0},
        "probe_urls": {"type": "list", "elements": "str", "default": []},
    }


def triage_from(params: t.Mapping[str, t.Any]) -> Row:
    """``triage`` with the options as a module has them."""
    limits = Limits(
        params["statement_timeout_ms"], params["lock_timeout_ms"], params["seconds_max"], params["query_text"],
        params["query_text_max"], params["mask_literals"], tuple(params["application_users"]), params["look_seconds"],
        tuple(params["probe_urls"]),
    )  # fmt: skip
    login = login_from(params)
    planner = None
    if params["plan_user"]:
        planner = dataclasses.replace(login, user=params["plan_user"], password=params["plan_password"] or None)
    return triage(login, limits, params["diagnostics"], planner)


def lock_tree(rows: list[Row], application_users: t.Collection[str] = ()) -> Row:
    """The lock graph: ``sessions`` (waiters and blockers, each with the pids that hold it up) and ``roots``.

    A queue of n waiters for one row has n * n / 2 pairs in ``pg_blocking_pids()``; only those that matter are kept.
    """
    graph = {}
    for row in rows:
        holds: dict[str, tuple[str, ...]] = {}
        for tag, mode in row.pop("holds"):
            holds[tag] = (*holds.get(tag, ()), mode)
        own = row["user"] in application_users and row["command"].startswith("LOCK")
        graph[row["pid"]] = locks.LockSession(row["pid"], row["wants"], row["mode"], tuple(row["blockers"]), holds, own)
    for row in rows:
        pids, softly = locks.responsible(graph[row["pid"]], graph)
        row |= {"blockers": sorted(pids), "softly": softly and bool(pids), "changes_schema": graph[row["pid"]].queues_to_change}
    return {"sessions": rows, "roots": [dataclasses.asdict(root) for root in locks.roots(graph.values())]}
