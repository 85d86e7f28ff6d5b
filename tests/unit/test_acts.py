"""Acts on a database without one: what would be changed, what is refused, what is left alone, and when it ends."""

from __future__ import annotations

import threading
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import client, index, setting
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

Json = dict[str, t.Any]

LIMITS: list[tuple[str, int, int, client.State, int]] = [
    ("a client without a limit is isolated", -1, 5, "isolated", 5),
    ("a limit that a person set to none at all stays", 0, 5, "isolated", 0),
    ("a lower limit stays", 3, 5, "isolated", 3),
    ("a higher one does not", 50, 5, "isolated", 5),
    ("it gets back what it had", 5, -1, "released", -1),
    ("raised", 20, 30, "raised", 30),
    ("raising never lowers", 40, 30, "raised", 40),
    ("raising never limits", -1, 30, "raised", -1),
]


@pytest.mark.parametrize(("name", "current", "wanted", "state", "expected"), LIMITS, ids=[row[0] for row in LIMITS])
def test_the_limit_that_a_role_gets(name: str, current: int, wanted: int, state: client.State, expected: int) -> None:
    assert client.limit_for(current, client.Wanted("r", wanted, state)) == expected


def role(**changes: t.Any) -> client.Client:
    fields = {"role": "r", "quoted": "r", "connection_limit": 5, "superuser": False, "own": False, "sessions": 9, **changes}
    return client.Client(**fields)


REFUSED = [
    (role(superuser=True), client.Wanted("r", 5, "isolated", max=99), "superuser"),
    (role(own=True), client.Wanted("r", 5, "isolated", max=99), "logs in with"),
    (role(), client.Wanted("r", 5, "isolated", max=8), "9 sessions of r would be ended, and max is 8: nothing was touched"),
    (role(connection_limit=7), client.Wanted("r", -1, "released", expected=5), "is 7 now, and was 5: somebody has changed it"),
]


@pytest.mark.parametrize(("found", "wanted", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_a_role_that_is_left_alone(found: client.Client, wanted: client.Wanted, message: str) -> None:
    with pytest.raises(PostgresqlError, match=message):
        client.refuse(found, wanted)


@pytest.mark.parametrize("limit", [5, -1], ids=["as we left it", "already as it shall be"])
def test_a_role_that_is_as_expected_is_given_back(limit: int) -> None:
    client.refuse(role(connection_limit=limit), client.Wanted("r", -1, "released", expected=5))


def an_index(oid: int, **changes: t.Any) -> Json:
    return {"oid": oid, "name": "t_a_idx", "valid": False, "in_the_making": False, "needed": False, "columns": ["a"], **changes}


WANTED = index.Wanted("public", "t", "present", "t_a_idx", ("a",))


def test_what_a_failed_building_left_is_told_from_what_was_there() -> None:
    there = [an_index(1), an_index(2, name="other")]
    assert index.made_since([*there, an_index(3)], {1, 2}, WANTED) == [an_index(3)]
    assert index.made_since(there, {1, 2}, WANTED) == []


DROPPED: list[tuple[str, Json, Json, str | None]] = [
    ("the one that was built", {"oid": 7}, an_index(7), None),
    ("its OID is not known", {}, an_index(7), None),
    ("another one of the same name", {"oid": 7}, an_index(8), "another index now"),
    ("on other columns", {"oid": 7}, an_index(7, columns=["b"]), "on other columns now"),
    ("a constraint needs it by now", {"oid": 7}, an_index(7, needed=True), "serves a constraint"),
]


@pytest.mark.parametrize(("name", "known", "found", "refused"), DROPPED, ids=[row[0] for row in DROPPED])
def test_which_index_an_undo_drops(name: str, known: Json, found: Json, refused: str | None) -> None:
    wanted = index.Wanted("public", "t", "absent", "t_a_idx", ("a",), **known)
    if refused:
        with pytest.raises(PostgresqlError, match=refused):
            index._plan_absent(wanted, [found])
    else:
        assert index._plan_absent(wanted, [found]).drop == ((7, "t_a_idx"),)


SETTINGS = [
    (setting.Setting("5s"), setting.Wanted("statement_timeout", "5s", "app"), True),
    (setting.Setting(None), setting.Wanted("statement_timeout", "5s", "app"), False),
    (setting.Setting("", ""), setting.Wanted("synchronous_standby_names", ""), True),
    (setting.Setting("", "b"), setting.Wanted("synchronous_standby_names", ""), False),
    (setting.Setting(None, "b"), setting.Wanted("synchronous_standby_names", None), True),
]


@pytest.mark.parametrize(("found", "wanted", "expected"), SETTINGS)
def test_when_a_setting_is_as_wanted(found: setting.Setting, wanted: setting.Wanted, expected: bool) -> None:
    assert setting.is_done(found, wanted) is expected


def test_an_act_that_does_not_end_is_left_behind_and_said_to_be_unknown() -> None:
    never = threading.Event()
    with pytest.raises(PostgresqlError, match="nobody knows whether it was done"):
        within(0.05, never.wait)
    never.set()
    assert within(5.0, lambda: 7) == 7
    with pytest.raises(ValueError, match="its own"):
        within(5.0, _fail)


def _fail() -> t.NoReturn:
    raise ValueError("its own")
