"""Who may read what of an incident: no channel says more than its disclosure allows."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import Stage, disclosure_of, vendor_key
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import CHANNELS, channels_from, narrowed
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import strictest
from ansible_collections.sre.runbooks.plugins.plugin_utils._run import opening

from tests.unit.test_session import CANCEL, WELL, Runs, gone
from tests.unit.test_session import CHANNELS as SHOWN
from tests.unit.test_telling import MAIL_LOGIN, TOLD

Json = dict[str, t.Any]
READERS = ["lead@example.org"]
MAIL: Json = {"login": {**MAIL_LOGIN}, "to": MAIL_LOGIN["to"], "need_to_know_to": READERS}
ALL: Json = {"pagerduty": TOLD, "status_page": SHOWN["status_page"], "mail": MAIL}
TELLING = ("Database", "db", "queued", "cancel", "role", "migrat")


class Told(Runs):
    """Runs whose incident has a disclosure, with every channel on."""

    disclosures: tuple[str, ...] = ("need_to_know",)

    def open(self, words: Json | None = None, **changes: t.Any) -> Json:
        return super().open(words, disclosures=self.disclosures, **changes)

    def session(self, run: Json, channels: Json | None = None, answer: str | None = None) -> t.Any:
        return super().session(run, ALL if channels is None else channels, answer)

    def sent(self) -> list[tuple[str, Json]]:
        """What was sent to the channels, without what only says how they are reached."""
        return [(module, args) for module, args in self.vendors.calls if module in MODULES]


MODULES = {module for channel in CHANNELS.values() for module in channel.modules}


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> t.Iterator[Told]:
    found = Told(tmp_path)
    yield found
    found.kill()


def whole(runs: Told) -> None:
    assert runs.play(CANCEL) is None
    runs.play(before=WELL)


def test_what_only_some_may_know_is_told_to_nobody_else(runs: Told) -> None:
    whole(runs)
    assert {module for module, _args in runs.sent()} == {"pagerduty_incident", "pagerduty_notice", "mail"}
    for _module, args in runs.sent():
        words = json.dumps({name: value for name, value in args.items() if name not in ("service", "responders")})
        assert not [word for word in TELLING if word in words], words
    assert {tuple(args["to"]) for module, args in runs.sent() if module == "mail"} == {tuple(READERS)}
    assert not [args for _module, args in runs.sent() if "status_update" in args], "those who follow a service are many"
    titles = [args["title"] for _module, args in runs.sent() if "title" in args]
    assert [title.rpartition(" ")[0] for title in titles] == ["Confidential incident"]


def test_what_stays_inside_is_told_in_full_and_not_to_the_public(runs: Told) -> None:
    runs.disclosures = ("internal", "public")
    whole(runs)
    assert "status_page_incident" not in {module for module, _args in runs.sent()}
    assert any("queue" in args.get("note", "") for _module, args in runs.sent())


def test_without_readers_nobody_is_mailed(runs: Told) -> None:
    on, off = narrowed({"mail": {**MAIL, "need_to_know_to": []}}, "need_to_know")
    assert (on, off) == ({}, ["mail (the incident is need_to_know, and incident_mail_need_to_know_to names nobody)"])


def test_a_person_s_words_do_not_leave(runs: Told) -> None:
    session = runs.session(runs.open())
    with pytest.raises(RecordError, match="nobody was told"):
        session.notifier.say("the key of prod-signer is out")
    assert runs.sent() == []


def test_the_stricter_one_counts_and_nothing_loosens_it(runs: Told) -> None:
    runs.disclosures = ("public", "internal")
    runs.play()
    assert runs.incident["disclosure"] == "internal"
    runs.disclosures = ("need_to_know", "public")
    runs.play()
    runs.disclosures = ("public",)
    runs.play()
    assert runs.incident["disclosure"] == "need_to_know"


def test_what_was_written_for_more_readers_is_withdrawn(runs: Told) -> None:
    runs.disclosures = ("public",)
    runs.vendors.down = {"pagerduty_incident", "status_page_incident", "mail"}
    runs.play()
    runs.vendors.calls, runs.vendors.down = [], set()
    runs.disclosures = ("need_to_know",)
    runs.play()
    assert "it was written before the incident became need_to_know" in "\n".join(runs.lines)
    assert [args["title"].rpartition(" ")[0] for module, args in runs.sent() if "title" in args] == ["Confidential incident"]
    assert [args["to"] for module, args in runs.sent() if module == "mail"] == [READERS] * 2, "opened, and more is known"


def test_who_got_what_before_it_became_confidential_stays_in_the_report(runs: Told) -> None:
    runs.disclosures = ("public",)
    runs.play()
    runs.disclosures = ("need_to_know",)
    session = runs.session(runs.open())
    assert {row[1] for row in session.notifier.sent() if "@" in row[1]} == {", ".join(MAIL_LOGIN["to"])}


def test_what_may_have_arrived_is_not_called_withdrawn(runs: Told) -> None:
    runs.disclosures = ("public",)
    runs.vendors.answers["pagerduty_incident"] = {"failed": True, "msg": "no answer", "unknown": True}
    runs.play()
    runs.vendors.answers = {}
    runs.disclosures = ("need_to_know",)
    runs.play()
    session = runs.session(runs.open())
    assert [message.id for message in session.notifier.outbox.maybe()] == ["pagerduty:declared"]


def test_the_page_that_may_not_be_told_any_more_is_a_person_s_to_end(runs: Told) -> None:
    runs.disclosures = ("public",)
    runs.play()
    runs.disclosures = ("internal",)
    runs.play()
    session = runs.session(runs.open())
    assert "status page still says identified" in "\n".join(session.screen([])[0])


def test_our_own_incident_stays_ours_under_another_title(runs: Told) -> None:
    """After it became confidential PagerDuty still has it under its old title: it is resolved all the same."""
    runs.disclosures = ("public",)
    runs.play(CANCEL)
    runs.vendors.open = {"id": "pagerduty_incident-1", "status": "triggered", "title": "Database degradation (db)", "url": ""}
    runs.disclosures = ("need_to_know",)
    runs.play(CANCEL)
    assert "adopted" not in runs.incident


def test_a_system_s_own_disclosure_counts(runs: Told) -> None:
    runs.disclosures = ("public",)
    Runs.open(runs, host_disclosures={"db": "need_to_know", "elsewhere": "internal"})
    assert runs.incident["disclosure"] == "need_to_know"


def test_a_stricter_alert_tightens_the_incident_that_another_run_works_on(runs: Told, tmp_path: pathlib.Path) -> None:
    alert = tmp_path / "alert"
    alert.write_text("a key is out")
    runs.disclosures = ("public",)
    runs.open(pid=gone(runs))
    runs.disclosures = ("need_to_know",)
    assert runs.open(alert_file=str(alert))["ended"] is True
    assert runs.incident["disclosure"] == "need_to_know"


def test_where_nothing_can_be_written_it_stays_confidential(runs: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.play()
    runs.disclosures = ("public",)
    monkeypatch.setattr(opening, "writable_root", _refuses)
    run = runs.open()
    told = json.loads((pathlib.Path(run["path"]) / "incident.json").read_text())
    assert (bool(run["unrecorded"]), told["disclosure"]) == (True, "need_to_know")


def _refuses(*_: t.Any) -> t.NoReturn:
    raise RecordError("no space is left")


def test_an_incident_that_cannot_be_read_is_taken_for_confidential(runs: Told) -> None:
    runs.play()
    next(runs.root.glob("db-*/incident.json")).write_text('{"id": ')
    runs.disclosures = ("public",)
    run = runs.open()
    assert json.loads((pathlib.Path(run["path"]) / "incident.json").read_text())["disclosure"] == "need_to_know"


@pytest.mark.parametrize(
    ("told", "expected"), [({}, "public"), ({"disclosure": ""}, "need_to_know"), ({"disclosure": "no"}, "need_to_know")]
)
def test_what_a_record_says_is_read_strictly(told: Json, expected: str) -> None:
    assert disclosure_of(told) == expected


def test_the_list_of_those_who_need_to_know_is_enough() -> None:
    settings = {"host": "mail", "port": 25, "username": "", "password": "", "secure": "starttls", "ca_path": "", "timeout": 1.0,
                "allow_plaintext": False, "from": "a@example.org", "to": [], "need_to_know_to": READERS}  # fmt: skip
    on = channels_from(["mail"], {"mail": settings}, public=False)["on"]
    assert narrowed(on, "need_to_know")[0]["mail"]["login"]["to"] == READERS
    assert narrowed(on, "public") == ({}, ["mail (incident_mail_to names nobody)"])


def test_an_unknown_disclosure_is_refused() -> None:
    with pytest.raises(RecordError, match="a disclosure is one of public, internal, need_to_know, not 'secret'"):
        strictest("public", "secret")


KEYS = [
    ("ours", "db/db", "public", "db/db"),
    ("ours, confidential", "db/db", "need_to_know", "sre.runbooks/"),
    ("an alert's own, which is known there", "db/77", "need_to_know", "db/77"),
]


@pytest.mark.parametrize(("name", "key", "disclosure", "expected"), KEYS, ids=[row[0] for row in KEYS])
def test_the_key_at_the_vendor(name: str, key: str, disclosure: str, expected: str) -> None:
    incident = {"key": key, "runbook": "db", "disclosure": disclosure, "key_was_given": key == "db/77"}
    assert vendor_key(incident).startswith(expected)
    assert vendor_key(incident) == vendor_key({**incident, "id": "another controller's"})


def test_every_channel_says_nothing_telling_at_any_stage() -> None:
    """Whatever a channel is told, an incident that only some may know of has neither its names nor its cause in it."""
    incident = {"id": "db-db-20261124T0214Z", "key": "db/db", "runbook": "db", "title": "Database degradation", "severity": "P1",
                "targets": ["db"], "epoch": 0, "disclosure": "need_to_know", "vendors": {}}  # fmt: skip
    verdict = {"findings": [{"id": "db.queued_ddl", "role": "cause", "confidence": "proven", "message": "a migration is queued"}]}
    for name, settings in narrowed(ALL, "need_to_know")[0].items():
        for stage in ("declared", "identified", "mitigated", "resolved"):
            for epoch in (0, 1):
                told = Stage({**incident, "epoch": epoch}, stage, verdict)
                for message in CHANNELS[name].messages(told, {**settings, "responders": []}):
                    words = json.dumps({key: value for key, value in message.args.items() if key != "service"})
                    assert not [word for word in TELLING if word in words], words
