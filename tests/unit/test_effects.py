"""Effects on a database against a connection whose answers are written down: what is sent, and when it is over."""

from __future__ import annotations

import itertools
import typing as t

import psycopg2.errors
import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import client, index, prepared, statistics
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError

from tests.unit.sql_script import Script

Json = dict[str, t.Any]
ME = [[{"name": "mitigation"}]]


def clock() -> t.Callable[[], float]:
    ticks = itertools.count()
    return lambda: float(next(ticks))


def a_client(sessions: int, limit: int = 5) -> Json:
    return {"role": "reporting", "quoted": "reporting", "connection_limit": limit, "superuser": False, "own": False,
            "sessions": sessions}  # fmt: skip


ISOLATE = client.Wanted("reporting", 5, "isolated", max=99, wait_seconds=3)


def isolate(script: Script) -> client.Client:
    before = client.Client(**a_client(60, -1))
    return client.act(t.cast("t.Any", script), before, ISOLATE, clock=clock(), sleep=lambda _seconds: None)


def test_a_client_is_isolated_when_its_sessions_are_gone() -> None:
    script = Script(SELECT_quote_ident=ME, SELECT_r_rolname=[[a_client(60)], [a_client(9)], [a_client(4)]])
    assert isolate(script).sessions == 4
    assert script.changes() == ["ALTER ROLE reporting CONNECTION LIMIT 5"]


def test_a_client_whose_sessions_stay_is_partly_isolated_and_both_limits_are_said() -> None:
    script = Script(SELECT_quote_ident=ME, SELECT_r_rolname=[[a_client(60)]])
    with pytest.raises(PartlyDoneError, match=r"60 sessions are still there 3 s after.*is 5 now \(it was none\)"):
        isolate(script)


def test_a_role_s_replication_is_neither_counted_nor_ended() -> None:
    assert all("a.backend_type = 'client backend'" in text for text in (client.ROLE, client.END_SESSIONS))


def test_who_may_not_is_told_what_to_grant() -> None:
    script = Script(SELECT_quote_ident=ME, ALTER_ROLE=[psycopg2.errors.InsufficientPrivilege("must have CREATEROLE")])
    with pytest.raises(
        PostgresqlError, match="ALTER ROLE mitigation CREATEROLE; GRANT reporting TO mitigation WITH ADMIN OPTION"
    ):
        isolate(script)


def an_index(oid: int, **changes: t.Any) -> Json:
    return {"oid": oid, "name": "t_a_idx", "valid": True, "special": False, "in_the_making": False, "needed": False,
            "columns": ["a"], **changes}  # fmt: skip


ABSENT = index.Wanted("public", "t", "absent", "t_a_idx", ("a",), oid=7)
PRESENT = index.Wanted("public", "t", "present", "t_a_idx", ("a",))
TABLE = [[{"kind": "r", "owner": "app", "in_recovery": False, "columns": ["a"]}]]


def act(script: Script, wanted: index.Wanted, planned: index.Plan) -> int | None:
    return index.act(t.cast("t.Any", script), wanted, planned)


def test_an_index_is_dropped_by_its_oid_under_a_name_of_ours() -> None:
    script = Script(SELECT_c_relkind=TABLE, SELECT_quote_ident=ME, SELECT_c_oid=[[{"oid": 7, "kind": "i", "table": "t"}]])
    act(script, ABSENT, index.Plan(((7, "t_a_idx"),), create=False))
    begin, limit, rename, drop, commit = script.changes()
    assert (begin, limit, commit) == ("BEGIN", "SET LOCAL lock_timeout = 500", "COMMIT")
    assert rename.startswith("ALTER INDEX public.t_a_idx RENAME TO sre_runbooks_")
    assert drop == f"DROP INDEX public.{rename.rpartition(' ')[2]}"


def test_an_index_that_took_the_name_meanwhile_is_left_alone() -> None:
    script = Script(SELECT_c_relkind=TABLE, SELECT_quote_ident=ME, SELECT_c_oid=[[{"oid": 8, "kind": "i", "table": "t"}]])
    with pytest.raises(PostgresqlError, match="another index now than the one that was looked at"):
        act(script, ABSENT, index.Plan(((7, "t_a_idx"),), create=False))
    assert script.changes()[-1] == "ROLLBACK"
    assert not [text for text in script.sent if text.startswith("DROP")]


def test_a_table_that_is_held_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.time, "sleep", lambda _seconds: None)
    held = psycopg2.errors.LockNotAvailable("canceling statement due to lock timeout")
    script = Script(SELECT_c_relkind=TABLE, SELECT_quote_ident=ME, ALTER_INDEX=[held])
    with pytest.raises(PostgresqlError, match=r"4 tries of 0.5 s\); nothing was changed"):
        act(script, ABSENT, index.Plan(((7, "t_a_idx"),), create=False))
    assert script.changes().count("ROLLBACK") == 4


def test_of_a_failed_building_only_our_own_invalid_index_is_dropped() -> None:
    there = an_index(3, name="other", valid=False)
    script = Script(
        SELECT_c_relkind=TABLE, SELECT_quote_ident=ME, SELECT_i_oid=[[there], [there, an_index(9, valid=False)]],
        CREATE_INDEX=[psycopg2.errors.LockNotAvailable("timeout")], SELECT_c_oid=[[{"oid": 9, "kind": "i", "table": "t"}]],
    )  # fmt: skip
    with pytest.raises(PostgresqlError, match="was not built: timeout.*what was left of it was dropped"):
        act(script, PRESENT, index.Plan((), create=True))
    assert len([text for text in script.sent if text.startswith("DROP INDEX")]) == 1
    assert not [text for text in script.sent if "other" in text]


def a_transaction(**changes: t.Any) -> Json:
    return {"gid": "tx-1", "owner": "app", "quoted": "app", "database": "shop", "prepared": "2026-11-24 02:00:00+00", "seconds": 900,
            "here": True, "own": False, "in_recovery": False, **changes}  # fmt: skip


REFUSED: list[tuple[str, Json, str]] = [
    ("another one of the name", {"prepared": "2026-11-24 02:09:00+00"}, "another transaction now"),
    ("a young one", {"seconds": 3}, "may still be finished by its transaction manager"),
    ("of another database", {"here": False}, "belongs to the database shop"),
    ("on a standby", {"in_recovery": True}, "do it on the primary"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_which_prepared_transaction_is_left_alone(name: str, changes: Json, message: str) -> None:
    with pytest.raises(PostgresqlError, match=message):
        prepared.refuse(prepared.Prepared(**a_transaction(**changes)), "2026-11-24 02:00:00+00", 60)


@pytest.mark.parametrize(("own", "expected"), [(True, []), (False, ["SET ROLE app"])])
def test_a_prepared_transaction_is_rolled_back_as_its_owner(own: bool, expected: list[str]) -> None:
    script = Script(SELECT_quote_ident=ME, SELECT_gid=[[a_transaction(own=own)], []])
    prepared.roll_back(t.cast("t.Any", script), prepared.Prepared(**a_transaction(own=own)))
    assert script.changes() == [*expected, "ROLLBACK PREPARED %s"]


def test_a_name_that_was_given_to_another_transaction_meanwhile_is_left_alone() -> None:
    script = Script(SELECT_quote_ident=ME, SELECT_gid=[[a_transaction(prepared="2026-11-24 02:13:00+00")]])
    with pytest.raises(PostgresqlError, match="finished by somebody else just now"):
        prepared.roll_back(t.cast("t.Any", script), prepared.Prepared(**a_transaction(own=True)))
    assert script.changes() == []


def test_a_prepared_transaction_that_stays_is_said() -> None:
    script = Script(SELECT_quote_ident=ME, SELECT_gid=[[a_transaction()]])
    with pytest.raises(PostgresqlError, match="still there after ROLLBACK PREPARED"):
        prepared.roll_back(t.cast("t.Any", script), prepared.Prepared(**a_transaction()))


def a_table(runs: int) -> Json:
    return {"schema": "public", "table": "t", "owner": "app", "quoted": "public.t", "changed_since_analyze": 900, "live_rows": 9,
            "runs": runs, "in_recovery": False}  # fmt: skip


def analyze(script: Script) -> None:
    table = statistics.Table(**a_table(1))
    statistics.analyze(t.cast("t.Any", script), table, 30, clock=clock(), sleep=lambda _seconds: None)


def test_statistics_that_arrive_a_moment_later_are_waited_for() -> None:
    script = Script(SELECT_n_nspname=[[a_table(1)], [a_table(1)], [a_table(2)]])
    analyze(script)
    assert script.changes() == ["ANALYZE public.t"]


def test_a_role_that_may_not_analyze_is_told_what_to_grant() -> None:
    with pytest.raises(PostgresqlError, match="was not analyzed.*GRANT app TO mitigation"):
        analyze(Script(SELECT_quote_ident=ME, SELECT_n_nspname=[[a_table(1)]]))
