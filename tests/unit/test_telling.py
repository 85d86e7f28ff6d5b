"""What can be sent at most once, who is called in when nobody answers, when the next update is due, a person's words."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import OutcomeUnknownError
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.calls import NOTICE
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import channels_from
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.smtp import deliver
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import append_line
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import next_update
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.undo import UndoStep, undo_lines, undo_steps
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.unit.http_script import Call, Script
from tests.unit.test_pagerduty import incident
from tests.unit.test_session import CANCEL, CHANNELS, WELL, Runs, gone

Json = dict[str, t.Any]
MAIL = "mail"
BROKEN_OFF = {"failed": True, "msg": "mail server mail:25: Connection unexpectedly closed", "unknown": True}
REFUSED = {"failed": True, "msg": "mail server mail:25 refused: (451, b'4.3.0 try again later')", "unknown": False}
TOLD = {
    **CHANNELS["pagerduty"], "responders": ["Database"], "status_updates": True, "escalate_after": 5.0, "escalate_to": 2,
}  # fmt: skip
MAIL_LOGIN: Json = {"host": "mail", "port": 25, "username": None, "password": None, "secure": "starttls", "ca_path": None,
                    "sender": "a@example.org", "to": ["x@example.org"], "timeout": 10.0, "allow_plaintext": False}  # fmt: skip
ALL = {"pagerduty": TOLD, "mail": {"login": MAIL_LOGIN}}


class Once(Runs):
    """Runs with every channel that can be told only once."""

    def session(self, run: Json, channels: Json | None = None, answer: str | None = None) -> t.Any:
        return super().session(run, ALL if channels is None else channels, answer)

    def calls(self, module: str) -> list[Json]:
        return [args for called, args in self.vendors.calls if called == module]


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> t.Iterator[Once]:
    found = Once(tmp_path)
    yield found
    found.kill()


def outbox(runs: Once) -> t.Any:
    return runs.session(runs.open()).notifier.outbox


def test_every_channel_hears_every_stage_once(runs: Once) -> None:
    assert runs.play(CANCEL) is None
    runs.play(CANCEL, before=WELL)
    subjects = [args["subject"] for args in runs.calls(MAIL)]
    assert subjects == [
        f"[P2] Database degradation (db): {word}" for word in ("opened", "identified", "being verified", "resolved")
    ]
    notices = [args.get("responders") or args["status_update"] for args in runs.calls("pagerduty_notice")]
    assert notices[0] == ["Database"]
    assert [text.split(":")[0] for text in notices[1:]] == ["Cause", "Done", "Recovered, as users see it"]


@pytest.mark.parametrize(("answer", "maybe", "green"), [(BROKEN_OFF, 4, True), (REFUSED, 0, False)],
                         ids=["broken off: nobody can tell", "refused: tried again"])  # fmt: skip
def test_a_mail_without_a_clear_answer_is_not_sent_again(runs: Once, answer: Json, maybe: int, green: bool) -> None:
    runs.vendors.answers[MAIL] = answer
    # What was refused keeps the later ones of its channel back, and is tried once in each task: declare, confirm, update, close.
    assert (runs.play(CANCEL) is None) is green
    assert len(outbox(runs).maybe()) == maybe
    assert {args["subject"].rpartition(": ")[2] for args in runs.calls(MAIL)} == (
        {"opened", "identified", "being verified", "resolved"} if green else {"opened"}
    )
    runs.vendors.calls, runs.vendors.answers = [], {}
    runs.play(before=WELL)
    assert len(runs.calls(MAIL)) == (0 if green else 4)


def test_a_run_killed_while_it_sent_what_cannot_be_looked_up_leaves_maybe_sent(runs: Once) -> None:
    def killed(args: Json) -> Json:
        raise KeyboardInterrupt

    runs.vendors.answers[MAIL] = killed
    with pytest.raises(KeyboardInterrupt):
        runs.play(CANCEL)
    runs.vendors.calls, runs.vendors.answers = [], {}
    assert runs.play(CANCEL) is None
    assert [message.id for message in outbox(runs).maybe()] == ["mail:declared"]
    assert [args["subject"].rpartition(": ")[2] for args in runs.calls(MAIL)] == ["identified", "being verified", "resolved"]
    assert "maybe sent" in "\n".join(runs.lines)


def test_check_mode_shows_a_mail_and_runs_nothing_of_it(runs: Once) -> None:
    runs.vendors.answers[MAIL] = lambda args: deliver(args, check_mode=True)
    runs.play(CANCEL, check=True)
    shown = [line for line in runs.lines if "would send" in line and " MAIL " in line]
    assert len(shown) == 4
    assert "[P2] Database degradation (db): opened" in shown[0]


def test_when_nobody_acknowledges_in_time_the_next_level_is_called_once(runs: Once) -> None:
    runs.play()
    runs.now += datetime.timedelta(minutes=6)
    runs.play()
    runs.now += datetime.timedelta(minutes=6)
    runs.play()
    assert [args["escalation_level"] for args in runs.calls("pagerduty_notice") if "escalation_level" in args] == [2]


def test_an_acknowledged_incident_is_not_escalated(runs: Once) -> None:
    runs.vendors.open = {"id": "Q1", "status": "acknowledged", "url": "", "title": "x"}
    runs.play()
    assert runs.incident["acknowledged_at"].startswith("2026-11-24T02:14")
    runs.now += datetime.timedelta(minutes=60)
    runs.play()
    assert not [args for args in runs.calls("pagerduty_notice") if "escalation_level" in args]


def at(minute: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, 24, 2, minute, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("minute", "expected"), [(30, "next update due at 02:34Z"), (40, "OVERDUE: the next update was due at 02:34Z")]
)
def test_when_the_next_update_is_due(minute: int, expected: str) -> None:
    events = [{"kind": "stage", "at": "2026-11-24T02:14:00.000Z"}, {"kind": "facts", "at": "2026-11-24T02:39:00.000Z"}]
    assert next_update(events, 20.0, at(minute)) == expected


def test_a_person_s_words_reach_everybody_once_each_time(runs: Once) -> None:
    page = {**CHANNELS, "mail": ALL["mail"]}
    runs.play()
    session = runs.session(runs.open(), page)
    session.notifier.tell("declared", None)
    runs.vendors.calls = []
    session.notifier.say("The vendor is called {{ 7 * 7 }}.")
    session.notifier.say("They answer.")
    notes = [args["note"].split("\n")[0] for args in runs.calls("pagerduty_incident")]
    assert notes == ["The vendor is called {{ 7 * 7 }}.", "They answer."]
    assert [(args["body"], args["status"]) for args in runs.calls("status_page_incident")] == [
        ("The vendor is called {{ 7 * 7 }}.", "investigating"), ("They answer.", "investigating"),
    ]  # fmt: skip


# -- undo ----------------------------------------------------------------------------------------------------------------

OLD = {"role": "billing", "connection_limit": 20}
NEW = {"role": "billing", "connection_limit": 5}


def event(kind: str, run: str, target: Json, **fields: t.Any) -> Json:
    return {
        "kind": kind,
        "run": run,
        "effect": "isolate_client",
        "system": "db",
        "target": target,
        "at": "t",
        "detail": "d",
        **fields,
    }


DONE = {"status": "done", "changed": True}
STEP = [UndoStep("isolate_client", "db", OLD)]
UNDO: list[tuple[str, list[Json], list[UndoStep]]] = [
    ("done", [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE)], STEP),
    ("killed before its outcome", [event("intent", "1", OLD)], STEP),
    ("killed, then done again: what was there first counts",
     [event("intent", "1", OLD), event("intent", "2", NEW), event("outcome", "2", NEW, **DONE)], STEP),
    ("nothing had to be changed", [event("intent", "1", OLD), event("outcome", "1", OLD, status="done", changed=False)], []),
    ("failed before it changed anything", [event("intent", "1", OLD), event("outcome", "1", OLD, status="failed", changed=False)], []),
    ("failed half way", [event("intent", "1", OLD), event("outcome", "1", OLD, status="failed", changed=True)], STEP),
    ("done twice, the second changed nothing", [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE),
     event("intent", "2", NEW), event("outcome", "2", NEW, status="done", changed=False)], STEP),
    ("undone", [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE), event("undone", "2", OLD, status="done")], []),
    ("the undo failed", [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE), event("undone", "2", OLD, status="failed")], STEP),
    ("a signal has no undo", [{**event("intent", "1", {"pid": 1}), "effect": "terminate_blockers"}], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events", "expected"), UNDO, ids=[row[0] for row in UNDO])
def test_what_is_to_be_undone(name: str, events: list[Json], expected: list[UndoStep]) -> None:
    assert undo_steps(events, shipped()) == expected


def test_two_indexes_of_the_same_name_in_two_schemas_are_two_things() -> None:
    targets = [{"schema": schema, "table": "t", "name": "t_a_idx"} for schema in ("eu", "us")]
    events = [{**event("intent", "1", target), "effect": "create_index"} for target in targets]
    assert [step.target["schema"] for step in undo_steps(events, shipped())] == ["us", "eu"]
    undone = {**event("undone", "2", targets[1], status="done"), "effect": "create_index"}
    assert [step.target["schema"] for step in undo_steps([*events, undone], shipped())] == ["eu"]


def test_what_was_made_is_what_must_still_be_there_when_it_is_undone() -> None:
    events = [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE, made={"limit_set": 5})]
    (step,) = undo_steps(events, shipped())
    assert step.target == {**OLD, "limit_set": 5}


def test_the_latest_is_undone_first_and_what_cannot_be_is_said() -> None:
    index = {"kind": "intent", "run": "2", "effect": "create_index", "system": "db", "target": {"name": "i"}}
    events = [event("intent", "1", OLD), event("outcome", "1", OLD, **DONE), index]
    assert [step.mitigation for step in undo_steps(events, shipped())] == ["create_index", "isolate_client"]
    signal = {**event("outcome", "3", {}, **DONE), "effect": "terminate_blockers"}
    first, second = undo_lines([*events, signal], shipped())
    assert "cannot be undone" in first
    assert "gives the role the connection limit back" in second


# -- the exchanges -------------------------------------------------------------------------------------------------------

USERS = {"users": [{"id": "PU", "name": "Primary", "email": "oncall@example.org"}]}
PARAMS: Json = {"incident_id": "Q1", "from_email": "oncall@example.org", "responders": None, "responder_message": "Please join.",
                "status_update": None, "escalation_level": None}  # fmt: skip


def look(path: str, answer: Json) -> Call:
    return Call("GET", f"/{path}&limit=100&offset=0" if "?" in path else f"/{path}?limit=100&offset=0", answer=answer)


NOTICES: list[tuple[str, Json, list[Call]]] = [
    ("responders", {"responders": ["Primary", "Database"]}, [
        look("users?query=oncall%40example.org", {"users": []}), look("users", USERS),
        look("users?query=Primary", USERS),
        look("users?query=Database", {"users": []}), look("users", USERS),
        look("escalation_policies?query=Database", {"escalation_policies": [{"id": "PE", "name": "Database"}]}),
        Call("POST", "/incidents/Q1/responder_requests", {"requester_id": "PU", "message": "Please join.", "responder_request_targets": [
            {"responder_request_target": {"id": "PU", "type": "user_reference"}},
            {"responder_request_target": {"id": "PE", "type": "escalation_policy_reference"}}]}, answer={"responder_request": {}})]),
    ("a status update", {"status_update": "We are back."}, [
        Call("POST", "/incidents/Q1/status_updates", {"message": "We are back."}, answer={"status_update": {}})]),
    ("the next level, unless somebody has acknowledged it meanwhile", {"escalation_level": 2}, [
        Call("GET", "/incidents/Q1", answer={"incident": incident(status="acknowledged")})]),
    ("the next level", {"escalation_level": 2}, [
        Call("GET", "/incidents/Q1", answer={"incident": incident()}),
        Call("PUT", "/incidents/Q1", {"incident": {"type": "incident", "escalation_level": 2}}, answer={"incident": incident()})]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "calls"), NOTICES, ids=[row[0] for row in NOTICES])
def test_a_notice(name: str, params: Json, calls: list[Call]) -> None:
    script = Script(*calls)
    NOTICE.work({**PARAMS, **params}, script.client())
    script.finish()


@pytest.mark.parametrize("answer", [{"lost": True}, {"status": 500, "answer": None}])
def test_a_notice_is_sent_once_whatever_the_answer(answer: Json) -> None:
    script = Script(Call("POST", "/incidents/Q1/status_updates", {"message": "x"}, **answer))
    with pytest.raises(OutcomeUnknownError):
        NOTICE.work({**PARAMS, "status_update": "x"}, script.client())
    script.finish()


def test_a_call_in_place_says_what_is_wrong_with_its_arguments() -> None:
    told = NOTICE.in_place({"api_key": "k", "from_email": "a", "incident_id": "Q1"}, check_mode=True)
    assert told == {"failed": True, "msg": "one of the following is required: responders, status_update, escalation_level"}


def test_the_mail_channel_s_login_holds_what_the_module_needs() -> None:
    settings = {
        "mail": {
            "host": "m",
            "port": 25,
            "username": "",
            "password": "",
            "secure": "starttls",
            "ca_path": "",
            "timeout": 10.0,
            "from": "a",
            "to": ["b"],
            "allow_plaintext": False,
        }
    }
    assert channels_from(["mail"], settings, public=False)["on"]["mail"]["login"] == {
        "host": "m", "port": 25, "username": None, "password": None, "secure": "starttls", "ca_path": None, "timeout": 10.0,
        "sender": "a", "to": ["b"], "allow_plaintext": False,
    }  # fmt: skip
    settings["mail"]["to"] = []
    assert channels_from(["mail"], settings, public=False)["off"] == ["mail (not configured: incident_mail_to)"]


# -- channels that do not answer -----------------------------------------------------------------------------------------

DOWN = {"failed": True, "msg": "PagerDuty: no answer", "unknown": False, "down": True}
LOST = {"failed": True, "msg": "PagerDuty: no answer", "unknown": True, "down": True}
BUSY = {"failed": True, "msg": "PagerDuty: HTTP 429", "unknown": False, "down": False}


@pytest.mark.parametrize(("answer", "tried"), [(DOWN, 2), (BUSY, 4)], ids=["down: left out until the end", "busy: tried again"])
def test_a_channel_that_is_down_is_down_for_the_run(runs: Once, answer: Json, tried: int) -> None:
    runs.vendors.answers["pagerduty_incident"] = answer
    runs.play()
    assert len(runs.calls("pagerduty_incident")) == tried
    assert len(runs.calls(MAIL)) == 2
    runs.vendors.answers = {}
    runs.play()
    assert [args.get("note", args.get("title")).split(":")[0] for args in runs.calls("pagerduty_incident")[tried:]] == [
        "Database degradation (db)", "Cause",
    ]  # fmt: skip


def test_before_the_verdict_a_channel_gets_one_try_and_little_time(runs: Once) -> None:
    session = runs.session(runs.open())
    session.notifier.declare({})
    (first,) = runs.calls("pagerduty_incident")
    assert (first["tries"], first["timeout"] <= 4.0, first["budget"] <= 4.0) == (1, True, True)


def test_the_channels_are_told_side_by_side(runs: Once) -> None:
    both = threading.Barrier(2, timeout=20)

    def together(args: Json) -> Json:
        both.wait()
        return {"changed": True, "incident": {"id": "1", "status": "x", "url": ""}, "requests": []}

    channels = {"pagerduty": CHANNELS["pagerduty"], "mail": ALL["mail"]}
    runs.vendors.answers = {"pagerduty_incident": together, MAIL: together}
    runs.session(runs.open(), channels).notifier.declare({})
    assert len(runs.vendors.calls) == 2


def test_one_that_hangs_holds_up_no_other_and_not_the_run(runs: Once) -> None:
    hangs = threading.Event()
    runs.vendors.answers["pagerduty_incident"] = lambda args: {"failed": not hangs.wait(60)}
    run = runs.open()
    run["seconds_before_verdict"] = 0.2
    started = time.monotonic()
    session = runs.session(run)
    session.notifier.declare({})
    hangs.set()
    assert time.monotonic() - started < 10
    assert [args["subject"] for args in runs.calls(MAIL)] == ["[P2] Database degradation (db): opened"]
    assert session.notifier.unsent() == ["pagerduty:declared", "pagerduty:responders"]


def test_what_may_have_arrived_is_looked_for_before_it_is_sent_again(runs: Once) -> None:
    runs.vendors.answers["pagerduty_incident"] = LOST
    runs.play()
    runs.vendors.answers = {}
    runs.play()
    tried_before = [args.get("tried_before", False) for args in runs.calls("pagerduty_incident")]
    assert tried_before == [False, True, True, False]


def test_a_notice_finds_its_incident_by_the_key_where_the_id_was_lost(runs: Once) -> None:
    runs.vendors.answers["pagerduty_incident"] = {"changed": True, "incident": None, "adopted": False, "requests": []}
    runs.play()
    assert {(args.get("incident_id"), args["incident_key"]) for args in runs.calls("pagerduty_notice")} == {(None, "db/db")}


# -- a person's words, and runs that are ended ----------------------------------------------------------------------------


def say(runs: Once, text: str, killed_at: str | None = None) -> None:
    """An update; killed before the first, or after the last thing that it does under a name."""
    runs.kill()
    session = runs.session(runs.open(pid=gone(runs)))
    with contextlib.ExitStack() as stack:
        if killed_at:
            stack.enter_context(pytest.raises(KeyboardInterrupt))
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(*KILLS[killed_at](session))
        session.notifier.say(text)


def _killed(*_: t.Any, **__: t.Any) -> t.NoReturn:
    raise KeyboardInterrupt


KILLS: dict[str, t.Callable[[t.Any], tuple[t.Any, str, t.Any]]] = {
    "before it is queued": lambda session: (session.notifier.outbox, "queue", _killed),
    "before it is sent": lambda session: (session.notifier, "flush", _killed),
}


@pytest.mark.parametrize("killed_at", KILLS)
def test_an_update_that_was_ended_is_neither_lost_nor_doubled(runs: Once, killed_at: str) -> None:
    runs.play()
    runs.vendors.calls = []
    say(runs, "first", killed_at)
    say(runs, "second")
    say(runs, "second")
    said = [args["note"].split("\n")[0] for args in runs.calls("pagerduty_incident")]
    assert said == ["first", "second"]


def test_the_same_words_later_are_another_update(runs: Once) -> None:
    runs.play()
    runs.vendors.calls = []
    say(runs, "still at it")
    runs.now += datetime.timedelta(minutes=20)
    say(runs, "still at it")
    assert len(runs.calls("pagerduty_incident")) == 2


# -- refusals ------------------------------------------------------------------------------------------------------------

REFUSED_FOR_GOOD = {"failed": True, "msg": "PagerDuty: HTTP 402", "unknown": False, "down": False, "refused": True}


def test_what_a_vendor_will_never_take_holds_back_nothing(runs: Once) -> None:
    runs.vendors.answers["pagerduty_notice"] = REFUSED_FOR_GOOD
    assert runs.play(CANCEL) is None
    assert [args.get("note", "declared").split(":")[0][:9] for args in runs.calls("pagerduty_incident")] == [
        "declared", "Cause", "Done", "Recovered",
    ]  # fmt: skip
    assert any(line.startswith("NOTE") and "refused by the vendor" in line for line in runs.session(runs.open()).screen([])[0])


def test_words_before_the_pager_was_told_do_not_keep_it_from_being_told(runs: Once) -> None:
    """A note on an incident that is not there is none; the incident is still declared."""
    session = runs.session(runs.open(declare="confirmed"))
    session.notifier.say("We look into it.")
    session.end()
    (note,) = runs.calls("pagerduty_incident")
    assert note["state"] == "present"
    runs.play(declare="confirmed")
    assert any("title" in args for args in runs.calls("pagerduty_incident"))


@pytest.mark.parametrize("given", ["a@example.org,b@example.org", ["a@example.org", "b@example.org"]])
def test_recipients_are_names_and_no_letters(given: t.Any) -> None:
    settings = {"mail": {**MAIL_LOGIN, "username": "", "password": "", "ca_path": "", "from": "x@example.org", "to": given}}
    login = channels_from(["mail"], settings, public=False)["on"]["mail"]["login"]
    assert login["to"] == ["a@example.org", "b@example.org"]


def test_a_line_of_the_outbox_that_names_another_module_is_none(runs: Once) -> None:
    session = runs.session(runs.open())
    evil = {
        "op": "queued",
        "id": "pagerduty:x",
        "channel": "pagerduty",
        "stage": "x",
        "module": "ansible.builtin.uri",
        "args": {},
    }
    append_line(session.record.path / "outbox.jsonl", evil)
    session.notifier.flush()
    assert runs.vendors.calls == []
