"""The record's folder: who may read it, what is found in it quickly, what goes after a while, what a person is told."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import pathlib
import re
import stat
import subprocess
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record import alert, store
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run import opening
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import Opening, open_run
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.unit.test_session import CANCEL, KINDS, SICK, WELL, Runs, gone

Json = dict[str, t.Any]
NOW = datetime.datetime(2026, 11, 24, 2, 14, tzinfo=datetime.UTC)


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> t.Iterator[Runs]:
    found = Runs(tmp_path / "incidents")
    yield found
    found.kill()


def modes(root: pathlib.Path) -> dict[str, set[int]]:
    every = [root, *root.rglob("*")]
    return {
        "folders": {stat.S_IMODE(one.stat().st_mode) for one in every if one.is_dir()},
        "files": {stat.S_IMODE(one.stat().st_mode) for one in every if one.is_file()},
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_user_reads_a_record_whatever_the_umask(runs: Runs, umask: int, tmp_path: pathlib.Path) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "alert").write_text("CRITICAL")
        runs.play(CANCEL, alert_file=str(tmp_path / "alert"))
    finally:
        os.umask(before)
    assert modes(runs.root) == {"folders": {0o700}, "files": {0o600}}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to another group")
def test_a_group_reads_and_writes_where_one_is_named(tmp_path: pathlib.Path) -> None:
    root = store.writable_root(tmp_path / "incidents", "daemon")
    runs = Runs(root)
    runs.play(CANCEL)
    assert modes(root) == {"folders": {0o2770}, "files": {0o660}}
    assert {one.group() for one in root.rglob("*")} == {"daemon"}


def test_a_group_that_is_not_there_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RecordError, match="there is no group nobodys"):
        store.writable_root(tmp_path / "incidents", "nobodys")


TROUBLE = [
    (errno.ENOSPC, "no space is left .* -e incident_record_root=/path"),
    (errno.EACCES, "belongs to .* incident_record_group=NAME"),
    (errno.EROFS, "cannot be read or written .* -e incident_record_root=/path"),
    (errno.ESTALE, "cannot be read or written"),
]


@pytest.mark.parametrize(("number", "sentence"), TROUBLE)
def test_every_trouble_with_a_file_is_a_sentence_with_a_way_out(tmp_path: pathlib.Path, number: int, sentence: str) -> None:
    told = store.trouble(OSError(number, os.strerror(number), str(tmp_path / "x")), tmp_path)
    assert re.search(sentence, told)
    assert "Errno" not in told


def test_a_full_disk_is_seen_before_anything_is_done(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: t.Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="no space is left"):
        store.writable_root(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_recorded_is_looked_at_and_nothing_is_done(runs: Runs) -> None:
    runs.root.parent.joinpath("incidents").write_text("a file where the folder should be")
    sentence = runs.play(CANCEL)
    assert sentence is not None
    assert "this run was not recorded" in sentence
    assert "incident_record_root=" in sentence
    assert [module for module, _args in runs.vendors.calls if module == "postgresql_backend"] == []
    assert any("cause_found db.queued_ddl" in line for line in runs.lines)
    assert any("nothing is done that cannot be recorded" in line for line in runs.lines)


def test_check_mode_copies_its_own_incident_and_leaves_nothing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.play()
    other = runs.root / "db-other-20261124T0214Z"
    other.mkdir()
    (other / "incident.json").write_text(json.dumps({"id": other.name, "key": "other", "state": "open", "opened_at": "2026"}))
    copied: list[str] = []
    find = opening.current_incident

    def watched(*args: t.Any, **kwargs: t.Any) -> t.Any:
        found = find(*args, **kwargs)
        copied.extend(one.name for one in args[0].iterdir() if one.is_dir() and not one.name.startswith("."))
        return found

    monkeypatch.setattr(opening, "current_incident", watched)
    before = set(pathlib.Path(opening.tempfile.gettempdir()).glob(f"{opening.CHECK_FOLDER}*"))
    runs.play(CANCEL, check=True)
    assert copied.count("db-other-20261124T0214Z") == 1  # in the real root, not in the copy
    assert set(pathlib.Path(opening.tempfile.gettempdir()).glob(f"{opening.CHECK_FOLDER}*")) == before


def test_check_mode_writes_nothing_where_the_records_are(runs: Runs) -> None:
    runs.root.mkdir()
    runs.play(CANCEL, check=True)
    assert list(runs.root.iterdir()) == []


def test_what_a_killed_check_left_is_removed_by_the_next(runs: Runs) -> None:
    left = pathlib.Path(runs.open(check=True, pid=gone(runs))["path"])
    runs.kill()
    assert left.exists()
    runs.play(check=True)
    assert not left.parent.exists()


def test_an_unfinished_folder_is_taken_over(runs: Runs) -> None:
    (runs.root / "db-db-20261124T0214Z").mkdir(parents=True)
    assert runs.open()["incident_id"] == "db-db-20261124T0214Z"


def old(root: pathlib.Path, number: int) -> None:
    """Incidents of other keys, as many as a root has after years."""
    for one in range(number):
        folder = root / f"db-db{one}-20250101T0000Z"
        folder.mkdir(parents=True)
        told = {"id": folder.name, "key": f"db/db{one}", "state": "closed", "opened_at": "2025-01-01T00:00:00.000Z"}
        (folder / "incident.json").write_text(json.dumps(told))


def test_opening_reads_no_other_incident_once_there_is_an_index(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    old(runs.root, 20)
    assert runs.play() is None
    monkeypatch.setattr(store, "all_incidents", lambda root: pytest.fail("every incident was read"))
    run = runs.open()
    assert run["incident_id"] == "db-db-20261124T0214Z"


def test_a_root_of_before_the_index_is_searched_once(runs: Runs) -> None:
    runs.play()
    for one in (runs.root / ".keys").iterdir():
        one.unlink()
    (runs.root / ".keys").rmdir()
    assert runs.open()["incident_id"] == "db-db-20261124T0214Z"


def test_what_was_closed_because_all_was_well_goes_after_a_while(runs: Runs) -> None:
    runs.play(declare="confirmed", before=WELL)
    (closed,) = runs.root.glob("db-*")
    marker = runs.root / ".healthy" / closed.name
    store.prune_healthy(runs.root, NOW, 7.0)
    assert closed.exists()
    os.utime(marker, (NOW.timestamp() - 8 * 86400,) * 2)
    store.prune_healthy(runs.root, NOW, 0.0)
    assert closed.exists()
    store.prune_healthy(runs.root, NOW, 7.0)
    assert not closed.exists()
    assert not marker.exists()
    assert runs.play(CANCEL) is None


def test_an_incident_that_came_back_is_not_pruned(runs: Runs) -> None:
    runs.play()
    (folder,) = runs.root.glob("db-*")
    store.remember_healthy(folder)
    os.utime(runs.root / ".healthy" / folder.name, (0, 0))
    store.prune_healthy(runs.root, NOW, 7.0)
    assert folder.exists()


# -- alerts --------------------------------------------------------------------------------------------------------------


def test_a_pipe_that_never_ends_is_left_with_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert, "ALERT_SECONDS", 0.2)
    with subprocess.Popen(["sh", "-c", "echo CRITICAL; exec sleep 600"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        try:
            assert alert.read_alert(f"/dev/fd/{endless.stdout.fileno()}", os.getpid()) == "CRITICAL\n"
        finally:
            endless.kill()


def test_an_alert_after_the_look_keeps_the_incident_open(runs: Runs, tmp_path: pathlib.Path) -> None:
    """It is noted while the other run is at its end; that run must not close what nobody has looked at."""
    (tmp_path / "alert").write_text("CRITICAL again")
    session = runs.session(runs.open(declare="confirmed"))
    runs.read(session, "diagnose", WELL)
    session.judge("diagnose")
    noted = open_run(
        Opening("db", "Database degradation", "P2", str(runs.root), "confirmed", 3600.0, ("db",), "role_database", KINDS, {"db": (), "api": None},
                str(tmp_path / "alert"), False, os.getppid()),
        {}, shipped(), runs.now,
    )  # fmt: skip
    assert noted["ended"] is True
    assert session.needs_proof()
    session.close(300)
    assert runs.incident["state"] == "open"
    assert session.screen([])[1] == "an alert came in after the last look, and nobody has looked since: run it again"


def test_an_alert_after_the_look_is_looked_at_again_and_then_closed(runs: Runs, tmp_path: pathlib.Path) -> None:
    session = runs.session(runs.open(declare="confirmed"))
    runs.read(session, "diagnose", WELL)
    session.judge("diagnose")
    store.Record(session.record.path, "another").append("note", text="again", alert=True)
    assert session.wants("verify", "db")
    runs.read(session, "verify", WELL)
    session.verify()
    session.close(300)
    assert runs.incident["state"] == "closed"
    assert session.screen([])[1] is None


# -- what others have put into a folder that is shared, or beside it ------------------------------------------------------


@pytest.mark.parametrize("name", ["timeline.jsonl", "incident.json", "report.md", "facts", "effects.lock"])
def test_nothing_is_written_through_a_link(runs: Runs, tmp_path: pathlib.Path, name: str) -> None:
    target = tmp_path / "victim"
    target.write_text("mine")
    run = runs.open()
    path = pathlib.Path(run["path"]) / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    with contextlib.suppress(OSError, RecordError):
        session = runs.session(run)
        session.notifier.declare({})
        runs.read(session, "diagnose", WELL)
        session.judge("diagnose")
        session.close(300)
    assert target.read_text() == "mine"


def test_a_second_name_of_somebody_s_file_is_not_written_to(tmp_path: pathlib.Path) -> None:
    (tmp_path / "victim").write_text("mine")
    os.link(tmp_path / "victim", tmp_path / "timeline.jsonl")
    with pytest.raises(OSError, match="no plain file"):
        store.append_line(tmp_path / "timeline.jsonl", {})
    assert (tmp_path / "victim").read_text() == "mine"


def test_what_is_to_be_pruned_is_no_link_to_elsewhere(tmp_path: pathlib.Path) -> None:
    root, victim = tmp_path / "incidents", tmp_path / "victim"
    for folder in (root, victim):
        folder.mkdir()
    (victim / "id_rsa").write_text("mine")
    os.utime(victim / "id_rsa", (0, 0))
    (root / ".healthy").symlink_to(victim)
    store.prune_healthy(root, NOW, 7.0)
    assert (victim / "id_rsa").exists()


def test_what_a_person_has_noted_on_is_not_pruned(runs: Runs) -> None:
    runs.play(declare="confirmed", before=WELL)
    (closed,) = runs.root.glob("db-*")
    store.Record(closed, "a person").append("note", text="the switch was replaced")
    os.utime(runs.root / ".healthy" / closed.name, (0, 0))
    store.prune_healthy(runs.root, NOW, 7.0)
    assert closed.exists()


BAD = [b"", b"[]", b"{", b"1", b'"x"', b"null", b"\xff\xfe", b"[" * 100000]


@pytest.mark.parametrize(
    "name", ["incident.json", "timeline.jsonl", "lock.json", "outbox.jsonl", "../.keys/x", "../db-x-20260101T0000Z/incident.json"]
)
@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_a_bad_file_ends_no_run(runs: Runs, name: str, content: bytes) -> None:
    runs.play()
    (folder,) = runs.root.glob("db-*")
    path = next((runs.root / ".keys").iterdir()) if name.endswith("x") else folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    runs.now += datetime.timedelta(minutes=5)
    runs.open()
    with contextlib.suppress(RecordError):
        store.incident_folder(runs.root, "")


def test_a_pipe_in_the_record_holds_up_nobody(runs: Runs) -> None:
    runs.play()
    (folder,) = runs.root.glob("db-*")
    (folder / "lock.json").unlink(missing_ok=True)
    os.mkfifo(folder / "lock.json")
    run = runs.open()
    assert "it is no plain file" in run["unrecorded"]
    opening.remove_temporary(run)


@pytest.mark.parametrize("name", ["\u00b2-5-x", "1-1-x", "x"])
def test_what_somebody_has_put_beside_the_temporary_folders_stays_and_stops_nobody(runs: Runs, name: str) -> None:
    left = pathlib.Path(opening.tempfile.gettempdir()) / f"{opening.CHECK_FOLDER}{name}"
    left.mkdir()
    try:
        runs.play(check=True)
        assert left.exists()
    finally:
        left.rmdir()


def test_a_root_is_private_whatever_its_parents_are_like(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o2777)
    before = os.umask(0)
    try:
        root = store.writable_root(tmp_path / "a" / "b" / "incidents")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (root, root.parent, root.parent.parent)] == [0o700, 0o755, 0o755]


def test_a_second_alert_s_text_is_kept_whole(runs: Runs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "alert").write_text("CRITICAL\nruns: 42\n")
    runs.session(runs.open(pid=os.getppid()))
    assert runs.open(alert_file=str(tmp_path / "alert"))["ended"] is True
    (kept,) = runs.root.glob("db-*/evidence/*")
    assert kept.read_text() == "CRITICAL\nruns: 42\n"


def test_an_alert_waits_for_a_run_that_will_not_look(runs: Runs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.play(CANCEL)
    (tmp_path / "alert").write_text("CRITICAL")
    said = opening.open_given(runs.root, runs.incident["id"], runs.now, os.getppid(), "update", check=False)
    monkeypatch.setattr(opening.time, "sleep", lambda seconds: runs.session(said).end())
    assert runs.open(alert_file=str(tmp_path / "alert"))["ended"] is False


def test_an_alert_at_the_very_end_is_told(runs: Runs) -> None:
    """After the incident was resolved, while its last messages leave."""
    session = runs.session(runs.open(CANCEL))
    session.notifier.declare({})
    runs.read(session, "diagnose", SICK)
    session.judge("diagnose")
    runs.mitigate(session)
    runs.read(session, "verify", WELL)
    session.verify()
    session.close(300)
    assert runs.incident["state"] == "resolved"
    store.Record(session.record.path, "another").append("note", text="again", alert=True)
    assert "nobody has looked since" in str(session.screen([])[1])


def test_a_line_is_not_appended_through_a_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "timeline.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        store.append_line(tmp_path / "timeline.jsonl", {})
    assert (tmp_path / "victim").read_text() == "mine"
