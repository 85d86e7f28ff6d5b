# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what triage returns, for those who judge it (private to the collection; pure).

Times in ``…_seconds`` and ``…_ms`` are of the moment of the look. ``backend_start``, ``xact_start`` and ``query_start`` are the
server's own texts with microseconds: they name one session, transaction or statement, and are compared as they came.
"""

from __future__ import annotations

import typing as t


class Refusal(t.TypedDict):
    """Why no session was opened: a kind of ``errors.KINDS``, the SQLSTATE where the server gave one, its own words."""

    kind: str
    sqlstate: str | None
    message: str


class Gap(t.TypedDict):
    """A diagnostic that was not answered."""

    diagnostic: str
    reason: str
    sqlstate: str | None


class Server(t.TypedDict):
    """Who and where we are, and what we may see. ``database_limit``: -1 for none."""

    version_num: int
    version: str
    database: str
    user: str
    in_recovery: bool
    uptime_seconds: int
    superuser: bool
    member_of_pg_monitor: bool
    member_of_pg_read_all_stats: bool
    member_of_pg_signal_backend: bool
    statements_version: str | None
    statements_schema: str | None
    statements_trusted: bool
    managed_by: str | None
    database_limit: int | None


class Setting(t.TypedDict):
    """A setting as a new session gets it (pg_settings.reset_val); ``by_alter_system``: None where its file is not shown."""

    name: str
    setting: str
    unit: str | None
    source: str
    by_alter_system: bool | None


class Connections(t.TypedDict):
    """A group of sessions; ``all_sessions`` counts those of all groups. ``role_limit``: -1 for none, None where nobody knows."""

    state: str
    user: str | None
    application: str
    client: str | None
    database: str | None
    sessions: int
    oldest_seconds: int
    hidden: int
    role_limit: int | None
    superuser: bool
    all_sessions: int


class ApplicationRole(t.TypedDict):
    """A role that the inventory names as the application's."""

    user: str
    exists: bool
    can_login: bool
    expired: bool
    sessions: int


class Signalled(t.TypedDict):
    """What is asked before a session is offered to be ended; other kinds of process are never ended."""

    pid: int
    backend_start: str | None
    xact_start: str | None
    superuser: bool | None
    backend_type: t.NotRequired[str | None]


class Session(Signalled):
    """A session of pg_stat_activity. ``command``: the first words of its statement; ``query``: as much as may be shown."""

    query_start: str | None
    user: str | None
    application: str
    client: str | None
    database: str | None
    state: str | None
    wait_event_type: str | None
    wait_event: str | None
    transaction_seconds: float | None
    command: str
    query: str | None


class LongStatement(Session):
    """One that has been running for more than a second; ``writes``: its transaction has an id."""

    statement_seconds: float | None
    writes: t.NotRequired[bool]


class IdleInTransaction(Session):
    """One that does nothing in an open transaction."""

    state_seconds: float | None


class InTheLockGraph(Session):
    """A waiter or a blocker. ``wants``: the tag of the lock that it waits for, None where it waits for none; ``lock_seconds``:
    since when (from 14). ``softly``: those in front of it only wait themselves; ``changes_schema``: as a migration does."""

    state_seconds: float | None
    statement_seconds: float | None
    lock_seconds: float | None
    wants: str | None
    mode: str | None
    locktype: str | None
    relation: str | None
    blockers: list[int]
    softly: bool
    changes_schema: bool


class Root(t.TypedDict):
    """Who waits for nobody and holds up others, or is the first in a queue; pid 0 stands for prepared transactions."""

    pid: int
    holds_up: list[int]
    softly: list[int]


class LockGraph(t.TypedDict):
    """Everybody who waits for a lock or is waited for."""

    sessions: list[InTheLockGraph]
    roots: list[Root]


class Holder(t.TypedDict):
    """Whether one that held up several was ``still`` in the same transaction so many ``seconds`` later."""

    pid: int
    seconds: float
    still: bool


class Seen(t.TypedDict):
    """A session over several looks: in how many it was ``seen`` and ``working``, its processes ``on_processor`` in all of them,
    ``waits`` by event (in looks), and the longest that a statement of it had been running, at work or not (``age_ms``)."""

    pid: int
    user: str | None
    application: str
    database: str | None
    superuser: bool
    statement: str | None
    seen: int
    working: int
    on_processor: int
    waits: dict[str, int]
    statement_ms: int
    age_ms: int


class Work(t.TypedDict):
    """A kind of statement over several looks: how often one was ``seen`` and ``working``, in how many ``sessions``, and the
    median of how long those at work had been running."""

    user: str | None
    database: str | None
    statement: str
    seen: int
    working: int
    sessions: int
    statement_ms: int


class Samples(t.TypedDict):
    """So many looks within so many seconds; ``runnable``: processes that wanted a processor, on average."""

    taken: int
    seconds: float
    sessions: list[Seen]
    work: list[Work]
    runnable: float


class Prepared(t.TypedDict):
    """A prepared transaction that nobody has finished for so many seconds."""

    gid: str
    user: str
    database: str
    transaction_id: str
    prepared: str
    seconds: int
    waited_for: bool


class BusyTable(t.TypedDict):
    """A table on which sessions (``pids``) are at work. ``analyze_after``: changed rows after which autovacuum analyzes it."""

    schema: str
    table: str
    pids: list[int]
    pages: int
    estimated_rows: float
    live_rows: int | None
    dead_rows: int | None
    changed_since_analyze: int | None
    analyzed_seconds_ago: int | None
    sequential_scans: int
    rows_read_sequentially: int
    analyze_after: float


class ForeignKey(t.TypedDict):
    """A foreign key without an index, to a table that sessions at work write to; ``rows``: of the table that refers."""

    schema: str
    table: str
    rows: float
    pids: list[int]
    parent_schema: str
    parent_table: str
    partitioned: bool
    columns: list[str]


class Scanned(t.TypedDict):
    """What an index would be missing on. ``partitions``: how many, 0 for a plain table; ``rows``: kept of ``table_rows``."""

    schema: str
    table: str
    columns: list[str]
    table_rows: float | None
    rows: float
    partitions: int


class Scan(Scanned):
    """A table that a plan reads whole, and what it keeps of it: by its filter, and with a join (``with_rows``). ``by_columns``:
    rows that the compared columns alone leave; ``covered_by``: an index that serves them; ``unclear``: why nobody knows."""

    with_rows: float | None
    by_columns: float | None
    covered_by: str | None
    unclear: str | None


class Loop(t.TypedDict):
    """A table for each of whose rows a plan does something, and how many it expects."""

    schema: str
    table: str
    rows: float


class Plan(t.TypedDict):
    """The plan of a kind of statement at work, or why there is none (``refused``). ``triggers``: what it writes fires some."""

    user: str
    pids: list[int]
    statement: str
    superuser: bool
    triggers: t.NotRequired[bool]
    command: str
    query: str | None
    scans: list[Scan]
    loops: list[Loop]
    cost: float | None
    refused: str | None


class Counted(t.TypedDict):
    """A statement's counters: since the last reset, before the look (``mean_ms_before``), and within it (``window_…``)."""

    statement: str
    user: str
    calls: int
    rows: int
    total_ms: float
    mean_ms: float
    mean_ms_before: float | None
    window_calls: int
    window_ms: float
    window_mean_ms: float | None
    calls_per_second: float | None
    command: str
    query: str | None


class Statements(t.TypedDict):
    """What pg_stat_statements counted, with the seconds between its two readings."""

    seconds: float
    top: list[Counted]


class RoleSetting(t.TypedDict):
    """A setting that a role, a database or a role in a database has of its own."""

    user: str | None
    database: str | None
    name: str
    setting: str


class Standby(t.TypedDict):
    """A standby that is connected."""

    application: str
    client: str | None
    state: str
    sync_state: str
    replay_seconds: float | None


class InvalidIndex(t.TypedDict):
    """What a failed CREATE INDEX CONCURRENTLY left behind."""

    schema: str
    index: str
    table: str


class SnapshotHolder(Signalled):
    """What keeps vacuum from removing anything: a session, a slot, a standby, a prepared transaction; ``xids``: how old."""

    kind: str
    key: str
    user: str | None
    application: str | None
    state: str | None
    xids: int
    seconds: int | None


class Age(t.TypedDict):
    """How far a database is from the end of its transaction ids."""

    database: str
    xids: int
    multixacts: int


class Slot(t.TypedDict):
    """A replication slot and how much of the log it keeps."""

    slot: str
    active: bool
    wal_status: str | None
    kept_bytes: int | None


class Sequence(t.TypedDict):
    """A sequence that is nearly used up."""

    schema: str
    sequence: str
    owned_by: str | None
    last_value: int
    most: int
    percent: float


class SequencesUnseen(t.TypedDict):
    """How many sequences could not be read, and in which schemas."""

    number: int
    schemas: str


class Triage(t.TypedDict):
    """What triage returns; a diagnostic that was not read has no key."""

    connected: bool
    refusal: Refusal | None
    gaps: list[Gap]
    duration_ms: int
    server: t.NotRequired[Server]
    settings: t.NotRequired[list[Setting]]
    locks: t.NotRequired[LockGraph]
    connections: t.NotRequired[list[Connections]]
    application_roles: t.NotRequired[list[ApplicationRole]]
    samples: t.NotRequired[Samples]
    long_running: t.NotRequired[list[LongStatement]]
    idle_in_transaction: t.NotRequired[list[IdleInTransaction]]
    prepared_transactions: t.NotRequired[list[Prepared]]
    busy_tables: t.NotRequired[list[BusyTable]]
    foreign_keys: t.NotRequired[list[ForeignKey]]
    role_settings: t.NotRequired[list[RoleSetting]]
    plans: t.NotRequired[list[Plan]]
    statements: t.NotRequired[Statements]
    replication: t.NotRequired[list[Standby]]
    invalid_indexes: t.NotRequired[list[InvalidIndex]]
    oldest_xmin: t.NotRequired[list[SnapshotHolder]]
    wraparound: t.NotRequired[list[Age]]
    slots: t.NotRequired[list[Slot]]
    sequences: t.NotRequired[list[Sequence]]
    sequences_unseen: t.NotRequired[SequencesUnseen]
    holders: t.NotRequired[list[Holder]]
