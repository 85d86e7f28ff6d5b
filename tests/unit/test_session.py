"""A whole run on its record, with vendors that answer as told: what is sent when, and what is never lost."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.notifier import Notifier
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Outside
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import LockHeldError, RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import standing_proof
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.executor import Effect
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import Opening, open_run
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run, proof
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.unit import given

Json = dict[str, t.Any]
LOGIN = {"login": {"api_key": "secret", "timeout": 10.0, "tries": 4}}
TEXTS = dict.fromkeys(("name", "declared", "identified", "mitigated", "resolved"), "public words")
CHANNELS = {
    "pagerduty": {**LOGIN, "service": "Shop", "escalation_policy": None},
    "status_page": {**LOGIN, "texts": TEXTS, "components": ["API"]},
}
SICK = [given.database(given.queued_ddl(), system="db"), given.edge(given.probe(failures=10))]
WELL = [given.database([], system="db"), given.edge(given.probe())]
CANCEL = {"mitigate": "cancel_queued_ddl"}


class Vendors:
    """Answers for modules; ``down`` names those that fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.down: set[str] = set()
        self.open: Json | None = None
        self.nothing = False
        self.answers: dict[str, t.Any] = {}

    def __call__(self, module: str, args: Json) -> Json:
        self.calls.append((module, args))
        if module in self.answers:
            answer = self.answers[module]
            return t.cast("Json", answer(args) if callable(answer) else answer)
        if module in self.down:
            return {"failed": True, "msg": f"{module}: no answer"}
        if module == "postgresql_backend":
            return {"changed": True, "done": ["cancel pid 200 (owner, migrate)"]}
        if self.nothing:
            return {"changed": False, "incident": None, "adopted": False, "requests": []}
        status = str(args.get("status", args.get("state"))).replace("present", "triggered")
        incident = {"id": f"{module}-1", "status": status, "url": "", "title": args.get("title")}
        return {"changed": True, "incident": self.open or incident, "adopted": bool(self.open), "requests": []}

    @property
    def stages(self) -> list[str]:
        return [str(args.get("update_key") or args.get("note") or args.get("title")) for args in (call[1] for call in self.calls)]


KINDS = {"db": ["postgresql"], "api": ["edge"]}


class Runs:
    """Runs of one runbook on one root."""

    catalogue = shipped()

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.vendors = Vendors()
        self.lines: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.now = datetime.datetime(2026, 11, 24, 2, 14, tzinfo=datetime.UTC)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def open(self, words: Json | None = None, **changes: t.Any) -> Json:
        asked = Opening(
            "db", "Database degradation", "P2", str(self.root), changes.pop("declare", "at_once"), 3600.0, ("db",), "role_database",
            KINDS, {"db": (), "api": None}, changes.pop("alert_file", None), changes.pop("check", False), changes.pop("pid", os.getpid()),
            disclosures=changes.pop("disclosures", ("public",)), procedure=changes.pop("procedure", ()),
            host_disclosures=changes.pop("host_disclosures", {}),
        )  # fmt: skip
        assert not changes
        return open_run(asked, words or {}, self.catalogue, self.now)

    def session(self, run: Json, channels: Json | None = None, answer: str | None = None) -> Run:
        outside = Outside(self.vendors, self.lines.append, lambda *_: answer, ["ansible-playbook", "x.yml"])
        session = Run(run, self.catalogue, outside, CHANNELS if channels is None else channels)
        session.record.clock = lambda: self.now
        return session

    def play(
        self, words: Json | None = None, before: list[Json] | None = None, after: list[Json] | None = None, **changes: t.Any
    ) -> str | None:
        """A whole run. Returns the sentence for which it must fail."""
        session = self.session(self.open(words, **changes))
        session.notifier.declare({})
        self.read(session, "diagnose", before or SICK)
        session.judge("diagnose")
        session.notifier.confirm(300)
        self.mitigate(session)
        session.notifier.update(300)
        if session.needs_proof():
            self.read(session, "verify", after or WELL)
        session.verify()
        session.close(300)
        return session.screen([])[1]

    def read(self, session: Run, slot: str, facts: list[Json]) -> None:
        for one in facts:
            session.look_begins(slot, one["system"])
            data = {name: value for name, value in one.items() if name not in ("system", "kind", "limits", "depends_on")}
            session.keep_facts(slot, one["system"], one["kind"], data, one["limits"])

    def mitigate(self, session: Run) -> None:
        if not session.wants("mitigate", "db"):
            return
        try:
            for step in session.executor.plan("db", 300, 1):
                session.executor.effect(Effect(step["mitigation"], "db", "postgresql_backend", {"backends": step["targets"]}))
        except RecordError as error:
            session.keep_failure("mitigate", "db", str(error))

    @property
    def incident(self) -> Json:
        return t.cast("Json", json.loads(next(self.root.glob("db-*/incident.json")).read_text()))


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> t.Iterator[Runs]:
    found = Runs(tmp_path)
    yield found
    found.kill()


def stages(runs: Runs, module: str) -> list[str]:
    """The stages that were sent by a module, in order, told from its arguments."""
    found = []
    for called, args in runs.vendors.calls:
        if called == module:
            mark = args.get("update_key") or (args.get("note") or "").rpartition("Z ")[2].rstrip("]") or "declared"
            found.append(mark.rpartition(" ")[2])
    return found


def test_from_the_alert_to_the_proven_recovery(runs: Runs) -> None:
    assert runs.play(CANCEL) is None
    assert stages(runs, "pagerduty_incident") == ["declared", "identified", "mitigated", "resolved"]
    assert stages(runs, "status_page_incident") == ["declared", "identified", "mitigated", "resolved"]
    assert [args for module, args in runs.vendors.calls if module == "postgresql_backend"] == [
        {"backends": [{"pid": 200, "backend_start": "start 200", "query_start": "query 200"}]}
    ]
    assert runs.incident["state"] == "resolved"


def test_a_verification_is_told_for_how_long_what_was_done_is_done(runs: Runs) -> None:
    session = runs.session(runs.open())
    assert session.acted_seconds("verify") == 0
    session.executor.effect(
        Effect("rollback", "db", "k8s_rollout", {}, {"namespace": "shop", "kind": "Deployment", "name": "api"})
    )
    assert (session.acted_seconds("diagnose"), session.acted_seconds("verify") >= 1) == (0, True)


def test_looking_does_nothing_but_declare(runs: Runs) -> None:
    assert runs.play() is None
    assert "postgresql_backend" not in [call[0] for call in runs.vendors.calls]
    assert runs.incident["state"] == "open"
    assert stages(runs, "pagerduty_incident") == ["declared", "identified"]


def test_nothing_is_sent_twice(runs: Runs) -> None:
    runs.play(CANCEL)
    sent = len(runs.vendors.calls)
    assert runs.play(CANCEL, before=WELL) is None
    assert len(runs.vendors.calls) == sent


def test_more_than_may_be_touched_is_not(runs: Runs) -> None:
    session = runs.session(runs.open())
    with pytest.raises(RecordError, match="create_index on db would act on 2 things, and max is 1: nothing was touched"):
        session.executor.effect(Effect("create_index", "db", "postgresql_index", count=2, max=1))
    assert runs.vendors.calls == []


def test_what_failed_and_may_have_changed_something_is_taken_back_by_what_it_made(runs: Runs) -> None:
    made = {"uid": "u1", "from_hash": "h2", "to_hash": "h1"}
    runs.vendors.answers["k8s_rollout"] = {"failed": True, "changed": True, "msg": "nobody knows", "made": made}
    session = runs.session(runs.open())
    target = {"namespace": "shop", "kind": "Deployment", "name": "api"}
    with pytest.raises(RecordError, match="nobody knows"):
        session.executor.effect(Effect("rollback", "db", "k8s_rollout", {}, target))
    assert session.executor.undo_plan("db") == [
        {"mitigation": "rollback", "role": "sre.runbooks.k8s_rollback", "target": {**target, **made}}
    ]


@pytest.mark.parametrize(
    ("name", "failed", "proven", "expected"),
    [
        ("deploy_hotfix", False, False, ["deploy_hotfix"]),
        ("deploy_hotfix", False, True, []),
        ("deploy_hotfix", False, None, []),
        ("deploy_hotfix", True, None, ["deploy_hotfix"]),
        ("rollback", False, False, []),
    ],
)
def test_what_did_not_help_is_taken_back_by_itself_where_it_says_so(
    runs: Runs, name: str, failed: bool, proven: bool | None, expected: list[str]
) -> None:
    runs.vendors.answers["k8s_rollout"] = {"failed": failed, "changed": True, "msg": "pods do not come up", "made": {"uid": "u1"}}
    session = runs.session(runs.open())
    with contextlib.suppress(RecordError):
        session.executor.effect(Effect(name, "db", "k8s_rollout", {}, {"namespace": "shop", "kind": "Deployment", "name": "api"}))
    if proven is not None:
        session.record.append("verified", proven=proven, why="users were measured")
    assert [step["mitigation"] for step in session.executor.undo_plan("db", unproven=True)] == expected


def test_without_recovery_the_incident_stays_open_and_the_run_is_not_green(runs: Runs) -> None:
    assert "not recovered: cancel_queued_ddl was carried out, but" in str(runs.play(CANCEL, after=SICK))
    assert runs.incident["state"] == "open"
    assert stages(runs, "status_page_incident") == ["declared", "identified", "mitigated"]


def test_an_alert_on_a_healthy_system_tells_nobody(runs: Runs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "alert").write_text("\x1b[31mDatabase down {{ 7*7 }}\n")
    assert runs.play(before=WELL, declare="confirmed", alert_file=str(tmp_path / "alert")) is None
    assert runs.vendors.calls == []
    assert (runs.incident["state"], runs.incident["alert"]) == ("closed", "[31mDatabase down {{ 7*7 }}")


def test_an_alert_on_a_sick_system_is_declared_after_the_diagnosis(runs: Runs) -> None:
    runs.play(declare="confirmed")
    assert stages(runs, "pagerduty_incident") == ["declared", "identified"]


def test_a_dead_vendor_stops_nothing_and_loses_nothing(runs: Runs) -> None:
    runs.vendors.down = {"pagerduty_incident"}
    sentence = runs.play(CANCEL)
    assert "unsent: pagerduty:declared, pagerduty:identified, pagerduty:mitigated, pagerduty:resolved" in str(sentence)
    assert stages(runs, "status_page_incident") == ["declared", "identified", "mitigated", "resolved"]
    assert runs.incident["state"] == "resolved"
    runs.vendors.down, runs.vendors.calls = set(), []
    assert runs.play(before=WELL) is None
    assert stages(runs, "pagerduty_incident") == ["declared", "identified", "mitigated", "resolved"]
    assert stages(runs, "status_page_incident") == []


@pytest.mark.parametrize("declare", ["at_once", "confirmed", "never"])
def test_a_relapse_soon_after_is_not_resolved_by_the_old_proof(runs: Runs, declare: str) -> None:
    runs.play(CANCEL, declare=declare)
    assert runs.incident["state"] == "resolved"
    runs.now += datetime.timedelta(seconds=20)
    runs.play(before=SICK, declare=declare)
    assert (runs.incident["state"], runs.incident["epoch"], runs.incident["resolved_at"]) == ("open", 1, None)
    assert not [said for said in stages(runs, "status_page_incident") if said == "resolved#1"]
    report = (pathlib.Path(next(runs.root.glob("db-*"))) / "report.md").read_text()
    assert "what was proven before does not hold any more" in report
    assert "| not measured |" not in report


def test_an_undo_takes_the_proof_away(runs: Runs) -> None:
    runs.play(CANCEL, after=WELL)
    session = runs.session(runs.open())
    assert standing_proof(session.record.events())
    session.executor.effect(Effect("isolate_client", "db", "postgresql_client", undoes=True))
    assert standing_proof(session.record.events()) is None


def test_a_relapse_reopens_the_same_incident(runs: Runs) -> None:
    runs.play(CANCEL)
    identity = runs.incident["id"]
    runs.vendors.calls = []
    assert runs.play(CANCEL) is None
    assert (runs.incident["id"], runs.incident["epoch"], runs.incident["state"]) == (identity, 1, "resolved")
    assert stages(runs, "status_page_incident") == ["declared#1", "identified#1", "mitigated#1", "resolved#1"]


def test_after_the_window_it_is_another_incident(runs: Runs) -> None:
    runs.play(CANCEL)
    runs.now += datetime.timedelta(hours=2)
    runs.play(CANCEL)
    assert len(list(runs.root.glob("db-*"))) == 2


def test_a_channel_that_was_turned_on_after_the_end_has_nothing_to_end(runs: Runs) -> None:
    session = runs.session(runs.open(CANCEL, pid=gone(runs)), channels={})
    session.notifier.declare({})
    session.record.update(state="resolved", resolved_at="2026-11-24T02:14:00.000Z")
    runs.vendors.nothing = True
    runs.kill()
    assert runs.play(before=WELL) is None
    assert runs.incident["vendors"] == {}
    assert "nothing of this incident is there" in " ".join(runs.lines)


def test_an_adopted_incident_is_not_resolved_by_us(runs: Runs) -> None:
    runs.vendors.open = {"id": "Q9", "status": "acknowledged", "title": "From the alert", "url": ""}
    runs.play(CANCEL)
    last = [args for module, args in runs.vendors.calls if module == "pagerduty_incident"][-1]
    assert (last["state"], last["incident_id"]) == ("present", "Q9")
    assert "Recovered" in last["note"]


def gone(runs: Runs) -> int:
    """A process that is there and will be killed when it has taken the lock."""
    process = subprocess.Popen(["sleep", "600"])
    runs.processes.append(process)
    return process.pid


def killed(runs: Runs, until: str) -> None:
    """A run that ended after the named step, without its lock being given back."""
    session = runs.session(runs.open(CANCEL, pid=gone(runs)))
    session.notifier.declare({})
    runs.read(session, "diagnose", SICK)
    session.judge("diagnose")
    session.notifier.confirm(300)
    if until == "intent":
        session.record.append("intent", effect="cancel_queued_ddl", system="db", epoch=0)
    else:
        runs.mitigate(session)
    runs.kill()


@pytest.mark.parametrize("until", ["intent", "outcome"])
def test_killed_around_the_mitigation_the_next_run_finishes_and_says_everything_once(runs: Runs, until: str) -> None:
    killed(runs, until)
    assert runs.play(CANCEL, before=WELL) is None
    # Whether what was begun was done, nobody knows: nobody is told that it was.
    mitigated = ["mitigated"] if until == "outcome" else []
    assert stages(runs, "pagerduty_incident") == ["declared", "identified", *mitigated, "resolved"]
    note = [str(args.get("note")) for module, args in runs.vendors.calls if module == "pagerduty_incident"][-1]
    assert ("Not known whether cancel_queued_ddl was carried out" in note) is (until == "intent")
    assert [call[0] for call in runs.vendors.calls].count("postgresql_backend") == (1 if until == "outcome" else 0)
    assert runs.incident["state"] == "resolved"


def test_killed_after_resolving_and_before_saying_so_the_next_run_says_it(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Notifier.tell

    def killed_at_the_end(self: Notifier, stage: str, verdict: Json | None, patience: t.Any = None) -> None:
        if stage == "resolved":
            raise KeyboardInterrupt
        tell(self, stage, verdict, patience)

    monkeypatch.setattr(Notifier, "tell", killed_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        runs.play(CANCEL, pid=gone(runs))
    monkeypatch.setattr(Notifier, "tell", tell)
    runs.kill()
    assert runs.incident["state"] == "resolved"
    assert runs.play(CANCEL, before=WELL) is None
    assert stages(runs, "pagerduty_incident") == ["declared", "identified", "mitigated", "resolved"]


def test_a_person_meets_a_live_lock_and_an_alert_is_noted(runs: Runs, tmp_path: pathlib.Path) -> None:
    runs.session(runs.open(pid=os.getppid()))
    with pytest.raises(LockHeldError, match="another run works on this incident"):
        runs.open()
    (tmp_path / "alert").write_text("again")
    assert runs.open(alert_file=str(tmp_path / "alert"))["ended"] is True
    assert "the same alert came again: again" in next(runs.root.glob("db-*/timeline.jsonl")).read_text()


def test_check_mode_leaves_the_record_alone(runs: Runs) -> None:
    runs.play()
    before = {path: path.read_bytes() for path in runs.root.rglob("*") if path.is_file() and path.name != ".opening"}
    assert runs.play(CANCEL, check=True) is None
    assert before == {path: path.read_bytes() for path in runs.root.rglob("*") if path.is_file() and path.name != ".opening"}


def test_no_secret_reaches_the_record(runs: Runs) -> None:
    runs.play(CANCEL)
    assert not [path for path in runs.root.rglob("*") if path.is_file() and "secret" in path.read_text()]


HOSTILE = "{{ lookup('pipe', 'id') }}\x1b[31m<script>"


def test_what_a_vendor_answers_is_only_text(runs: Runs) -> None:
    runs.vendors.open = {"id": "Q1", "status": HOSTILE, "title": HOSTILE, "url": HOSTILE}
    session = runs.session(runs.open(CANCEL))
    session.notifier.declare({"database": HOSTILE})
    shown = "\n".join(session.screen([HOSTILE])[0])
    assert "\x1b" not in shown
    assert "{{ lookup('pipe', 'id') }} [31m<script>" in shown
    assert "<script" not in (session.record.path / "report.html").read_text()


ANSWERS = [("cancel_queued_ddl", True), ("yes", False), ("", False), (None, False)]


@pytest.mark.parametrize(("answer", "approved"), ANSWERS)
def test_approval_fails_closed(runs: Runs, answer: str | None, approved: bool) -> None:
    session = runs.session(runs.open({**CANCEL, "approval": "prompt"}), answer=answer)
    runs.read(session, "diagnose", SICK)
    session.judge("diagnose")
    if approved:
        assert len(session.executor.plan("db", 300, 1)) == 1
    else:
        with pytest.raises(RecordError, match="was not approved"):
            session.executor.plan("db", 300, 1)


def test_old_findings_are_not_acted_on(runs: Runs) -> None:
    runs.play()
    runs.now += datetime.timedelta(seconds=301)
    session = runs.session(runs.open(CANCEL))
    with pytest.raises(RecordError, match="no fresh findings"):
        session.executor.plan("db", 300, 1)


UNSETTLED = {**given.edge(given.probe()), "settled": False}
PROOFS: list[tuple[str, list[Json], str, bool]] = [
    ("well", WELL, "3 good rounds in a row, p95 at most 20 ms, and the cause is gone", True),
    ("no URL", [WELL[0], given.edge()], "nothing measured what users see", False),
    ("no edge", [WELL[0]], "nothing measured what users see", False),
    ("never three in a row", [WELL[0], UNSETTLED], "not well 3 times in a row", False),
    ("which users", [WELL[0], {**SICK[1], "settled": False}], "org/health: 10 of 10 requests failed (10 × HTTP 503)", False),
    ("the cause is still there", [SICK[0], WELL[1]], "cause_found", False),
    ("the database could not be read", [WELL[1]], "db could not be read", False),
    ("the database refuses", [given.refused("unreachable", "x"), WELL[1]], "db could not be read", False),
]


@pytest.mark.parametrize(("name", "facts", "why", "proven"), PROOFS, ids=[one[0] for one in PROOFS])
def test_proof(name: str, facts: list[Json], why: str, proven: bool) -> None:
    from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge

    result = proof(judge(facts, {("db", "postgresql"): "silent", ("api", "edge"): "silent"}, shipped()), facts, shipped())
    assert result[0] is proven
    assert why in result[1]


def test_findings_of_the_future_are_not_fresh(runs: Runs) -> None:
    """The clock was set back since: how old they are, nobody knows."""
    session = runs.session(runs.open())
    runs.read(session, "diagnose", SICK)
    session.judge("diagnose")
    session.end()
    runs.now -= datetime.timedelta(hours=1)
    assert runs.session(runs.open()).context.fresh_findings(300) is None


def test_a_report_whose_verdict_another_version_made_is_left_as_it_is(runs: Runs) -> None:
    """It cannot be read here, and would be overwritten by one that knows of no cause."""
    runs.play(CANCEL)
    folder = next(runs.root.glob("db-*/incident.json")).parent
    for name in ("findings.json", "cause.json"):
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**data, "schema": 1}))
    written = (folder / "report.md").read_text()
    runs.session(runs.open()).write_report()
    assert (folder / "report.md").read_text() == written


def test_what_several_systems_show_is_told_apart(runs: Runs) -> None:
    session = runs.session(runs.open())
    one = given.squeezed()
    assert dict(session._lines([one]))["waits"] == dict(session.context.catalogue.systems["postgresql"].lines(one))["waits"]
    two = dict(session._lines([one, {**one, "system": "other"}]))["waits"]
    assert {part.partition(": ")[0] for part in two} == {one["system"], "other"}
