"""What log lines tell, in whatever format, and that nothing secret or endless comes through."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._logs.analyser import (
    MOST_ENDPOINTS,
    MOST_NAMES,
    MOST_NAMES_TOLD,
    MOST_TEMPLATES,
    Source,
)
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import LONGEST_TEMPLATE, Line, masked, read_line
from ansible_collections.sre.runbooks.plugins.module_utils._logs.merged import merged

LINES: list[tuple[str, bytes, Line | None]] = [
    ("JSON", b'{"level": "error", "msg": "user 17 failed"}', Line("error", "user <n> failed")),
    ("JSON of a request", b'{"level":"info","msg":"request","path":"/a?x=1","status":503}', Line("info", "", "/a", 503)),
    ("logfmt", b'level=error msg="no key 9" path=/sign', Line("error", "no key <n>")),
    ("combined", b'10.0.0.9 - - [24/Nov/2026:02:10:00 +0000] "GET /keys?a=1 HTTP/1.1" 500 12 "-" "curl"', Line("", "", "/keys", 500, address="10.0.0.9")),
    ("the kubelet's probe", b'10.0.0.9 - - [x] "GET /healthz HTTP/1.1" 503 2 "-" "kube-probe/1.36"', Line("", "")),
    ("a balancer's probe in JSON", b'{"path": "/", "status": 503, "user_agent": "ELB-HealthChecker/2.0"}', Line("", "")),
    ("a request that it made itself", b'{"level": "error", "msg": "no", "url": "http://signer:8443/a", "status": 502}', Line("error", "no")),
    ("another that it made itself", b'{"path": "/a", "status": 502, "span.kind": "client"}', Line("", "")),
    ("what a user agent writes is no field", b'level=info path=/a status=200 agent="x' + b"y" * 600 + b' status=503 path=/pay level=error"',
     Line("info", "", "/a", 200)),
    ("a field that comes again is not the first", b"level=info path=/a status=200 path=/pay status=503", Line("info", "", "/a", 200)),
    ("an unclosed quote ends nothing", b'level=info path=/a status=200 agent="x status=503 path=/pay', Line("info", "", "/a", 200)),
    ("what a request line writes is no status", b'1 - - [x] "GET /pay x\\" 503 5 HTTP/1.1" 400 9 "-" "c"', Line("", "", "/pay", 400, address="1")),
    ("whose it was", b'{"path": "/a", "status": 200, "tenant_id": 7, "remote_addr": "10.0.0.9, 10.9.9.9"}',
     Line("", "", "/a", 200, "7", "10.9.9.9")),
    ("who asks says nothing of whose it is", b'{"path": "/a?tenant=7", "status": 200}', Line("", "", "/a", 200)),
    ("the last address that is not ours", b'{"path": "/a", "status": 200, "x_forwarded_for": "198.51.100.9, 203.0.113.5, 10.0.0.3"}',
     Line("", "", "/a", 200, "", "203.0.113.5")),
    ("an address with its port", b'{"path": "/a", "status": 200, "remote_addr": "203.0.113.5:41234"}',
     Line("", "", "/a", 200, "", "203.0.113.5")),
    ("a newer address with its port", b'{"path": "/a", "status": 200, "remote_addr": "[2001:db8::1]:41234"}',
     Line("", "", "/a", 200, "", "2001:db8::1")),
    ("nobody is no tenant", b'{"path": "/a", "status": 200, "tenant": "unknown"}', Line("", "", "/a", 200)),
    ("a long number is no name", b'{"path": "/a", "status": 200, "customer_id": 4111111111111111}', Line("", "", "/a", 200)),
    ("words in a line are no fields", b"WARN login failed, unknown user: x status=500 path=/sign tenant=acme y", Line("warn", "")),
    ("a name that is none", b'{"path": "/a", "status": 200, "tenant": "a b", "remote_addr": "<b>"}', Line("", "", "/a", 200)),
    ("a secret is no name", b'{"path": "/a", "status": 200, "tenant": "ghp_abcdefghijklmnop"}', Line("", "", "/a", 200)),
    ("JSON that is cut is no request", b'{"a": "' + b"x" * 9000 + b'" path=/sign status=503 level=error', Line("", "")),
    ("gRPC's own trouble in HTTP's 200", b'{"path": "/custody.Sign", "status": 200, "grpc_status": 13}', Line("", "", "/custody.Sign", 500)),
    ("a token in a path", b'{"path": "/reset/a8Kd92hsQ1", "status": 200}', Line("", "", "/reset/{id}", 200)),
    ("ids in a path", b'{"path": "/users/17/reset/aB3xxxxxxxxxxxxxxxx;jsessionid=1", "status": 200}', Line("", "", "/users/{id}/reset/{id}", 200)),
    ("text with a time", b"2026-11-24T02:10:07.123Z ERROR took 76ms of 1.5GB", Line("error", "<time> ERROR took <n> of <n>")),
    ("text with a local time", b"2026-11-24 02:10:07,123 ERROR 5s gone", Line("error", "<time> ERROR <n> gone")),
    ("text with a zone", b"2026-11-24T02:10:07+01:00 ERROR v2 of x9", Line("error", "<time> ERROR v2 of x9")),
    ("text", b"2026-11-24 ERROR could not open 77", Line("error", "<n>-<n>-<n> ERROR could not open <n>")),
    ("empty", b"  ", None),
    ("broken JSON", b'{"level": "error"', Line("error", '{"level": "error"')),
    ("a JSON list", b"[1, 2]", Line("", "")),
    ("no status at all", b'{"msg": "x", "status": true, "path": "/a"}', Line("", "")),
    ("a status from nowhere", "{\"path\": \"/a\", \"status\": \"²00\"}".encode(), Line("", "")),
    ("bytes that are no text", b"ERROR \xff\xfe\x00 x", Line("error", "ERROR \ufffd\ufffd\x00 x")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "raw", "expected"), LINES, ids=[row[0] for row in LINES])
def test_a_line(name: str, raw: bytes, expected: Line | None) -> None:
    assert read_line(raw) == expected


SECRETS = [
    "Authorization: Bearer abcdefghijkl",
    "password=hunter2secret refused",
    "token: 'hunter2secret'",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl was refused",
    "api_key=hunter2secret",
    '"db_password": "hunter2secret"',
    '"db_password": "correct hunter2secret"',
    r"{\"password\":\"hunter2secret\"}",
    "migrate --password hunter2secret failed",
    "the password hunter2secret is wrong",
    "postgres://custody:hunter2secret@db/custody",
    "Set-Cookie: a=1; session=hunter2secret; Path=/",
    "AWS AKIAABCDEFGHIJKLMNOP of hunter2secret".replace("of hunter2secret", ""),
    "Authorization: Negotiate hunter2secret",
    "DB_PASS=hunter2secret",
    "<Password>hunter2secret</Password>",
    '{:password=>"hunter2secret"}',
    "https://user:pa/ss@hunter2secret@db/x",
    "AccountKey=hunter2secret==;EndpointSuffix",
    '"private_key": "-----BEGIN PRIVATE KEY-----' + "x" * 600 + 'hunter2secret"',
    "https://hooks.slack.com/services/hunter2secret",
    "pushed with ghp_hunter2secrethunter2secret",
    "-----BEGIN RSA PRIVATE KEY----- hunter2secret",
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_comes_through(text: str) -> None:
    shown = masked(text)
    assert not [word for word in ("hunter2secret", "abcdefghijkl", "c2lnbmF0dXJl", "eyJ", "AKIAABC") if word in shown], shown
    assert "<secret>" in shown


def test_what_differs_in_ids_only_is_one_template() -> None:
    source = Source()
    source.feed([b"ERROR order 1 of 9f86d081884c7d65 failed\nERROR order 22 of 2c26b46b68ffc68f failed\n"], stamped=False)
    assert {name: one.count for name, one in source.templates.items()} == {"ERROR order <n> of <hex> failed": 2}


def test_a_stream_is_read_in_pieces_whatever_their_borders() -> None:
    whole = b"".join(b'2026-11-24T02:10:0%d.0Z {"path": "/a", "status": %d}\n' % (n, 500 if n > 2 else 200) for n in range(6))
    for size in (1, 7, len(whole)):
        source = Source()
        source.feed([whole[at : at + size] for at in range(0, len(whole), size)], stamped=True)
        assert (source.all.requests, source.all.server_errors, source.endpoints["/a"].good_before_error) == (6, 3, 3)
        assert source.all.first_error == "2026-11-24T02:10:03.0Z"


def test_scanners_do_not_push_out_what_is_there() -> None:
    source = Source()
    letters = "abcdefghijklmnopqrstuvwxyz"
    scan = [f'{{"path": "/{a}{b}.php", "status": 404}}\n'.encode() for a in letters for b in letters]
    source.feed([*scan, b'{"path": "/sign", "status": 500}\n'], stamped=False)
    assert source.endpoints["/sign"].server_errors == 1
    assert (set(source.endpoints), source.all.requests) == ({"/sign"}, 1)


def test_a_node_s_own_zone_is_told_in_utc_and_by_minute() -> None:
    source = Source()
    source.feed([b'2026-11-24T03:10:59.123456789+01:00 {"path": "/a", "status": 500}\n'], stamped=True)
    assert source.all.first_error.startswith("2026-11-24T02:10:59")
    assert source.endpoints["/a"].minutes == {"2026-11-24T02:10": [1, 1]}


def test_a_line_without_an_end_is_cut_and_the_next_one_read() -> None:
    source = Source()
    source.feed([b"x" * 4096] * 500 + [b'\n{"path": "/a", "status": 500}\n'], stamped=False)
    assert (source.lines, source.all.server_errors, source.size) == (2, 1, 4096 * 500 + 31)


def test_what_is_told_in_all_is_more_than_what_is_told_by_path() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    lines = [f'2026-11-24T02:10:00Z {{"path": "/{a}{b}", "status": 200}}\n'.encode() for a in letters for b in letters]
    source = Source()
    source.feed(lines, stamped=True)
    assert (len(source.as_data()["endpoints"]), source.as_data()["minutes"]) == (30, {"2026-11-24T02:10": [676, 0]})


def test_what_is_no_time_is_none() -> None:
    source = Source()
    source.feed([b'yesterday {"path": "/a", "status": 500}\n'], stamped=True)
    assert (source.all.server_errors, source.all.first_error) == (1, "")


def test_memory_is_bounded() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b for a in letters for b in letters]
    source = Source()
    source.feed(
        [f'{{"path": "/{name}", "status": 200}}\n{{"level": "error", "msg": "{name}"}}\n'.encode() for name in names],
        stamped=False,
    )
    assert len(source.endpoints) == MOST_ENDPOINTS + 1
    assert len(source.templates) == MOST_TEMPLATES + 1
    assert sum(one.count for one in source.templates.values()) == len(names)
    long = Source()
    long.feed([b"ERROR " + b"x" * 3_000_000 + b"\n"], stamped=False)
    assert [len(name) for name in long.templates] == [LONGEST_TEMPLATE]


def told(*lines: bytes) -> t.Any:
    source = Source()
    source.feed([b"\n".join(lines) + b"\n"], stamped=True)
    return source.as_data()


AT = [f"2026-11-24T02:1{number}:00Z ".encode() for number in range(6)]


def test_what_was_well_since_the_last_error_is_counted() -> None:
    asked = [b'{"path": "/a", "status": %d}' % status for status in (200, 500, 200, 503, 200, 200)]
    one = told(*(at + line for at, line in zip(AT, asked, strict=True)))["endpoints"]["/a"]
    assert (one["good_before_error"], one["good_after_error"], one["longest_good"]) == (1, 2, 1)
    assert (one["first_error"], one["last_error"]) == ("2026-11-24T02:11:00Z", "2026-11-24T02:13:00Z")


@pytest.mark.parametrize("status", [401, 429, 499, 404])
def test_who_is_turned_away_is_not_well(status: int) -> None:
    one = told(*(AT[0] + b'{"path": "/a", "status": %d}' % code for code in (500, status, status)))["endpoints"]["/a"]
    assert one["good_after_error"] == 0


def test_whose_requests_they_were_is_kept_for_some_minutes() -> None:
    lines = [
        f"2026-11-24T02:{minute:02}:00Z ".encode() + b'{"path": "/a", "status": 500, "tenant": "%d"}' % minute
        for minute in range(12)
    ]
    assert set(told(*lines)["endpoints"]["/a"]["tenants"]) == {f"{minute}" for minute in range(6, 12)}


def test_made_up_paths_do_not_push_out_those_that_serve() -> None:
    flood = [AT[0] + b'{"path": "/x%s", "status": 401}' % bytes([97 + number // 26, 97 + number % 26]) for number in range(300)]
    paths = told(*flood, *(AT[0] + b'{"path": "/sign", "status": 500}' for _number in range(9)))["endpoints"]
    assert paths["/sign"]["server_errors"] == 9


def test_whose_requests_they_were_is_told_where_any_failed() -> None:
    lines = [AT[0] + b'{"path": "/a", "status": %d, "tenant": %d, "remote_addr": "10.0.0.%d"}' % row
             for row in ((200, 1, 1), (500, 2, 1), (401, 2, 9), (403, 1, 9))]  # fmt: skip
    one = told(*lines)["endpoints"]["/a"]
    assert one["refused"] == 2
    assert one["tenants"] == {"2": [2, 1], "1": [2, 0]}
    assert one["addresses"] == {"10.0.0.9": [2, 2, 0], "10.0.0.1": [2, 0, 1]}
    well = told(AT[0] + b'{"path": "/a", "status": 200, "tenant": 1, "remote_addr": "10.0.0.1"}')["endpoints"]["/a"]
    assert (well["tenants"], well["addresses"]) == ({}, {})


def test_more_names_than_are_kept_are_counted_together() -> None:
    lines = [AT[0] + b'{"path": "/a", "status": 500, "tenant": "t%d"}' % number for number in range(MOST_NAMES + 50)]
    tenants = told(*lines)["endpoints"]["/a"]["tenants"]
    assert len(tenants) == MOST_NAMES_TOLD + 1
    assert sum(one[0] for one in tenants.values()) == MOST_NAMES + 50


def test_several_sources_are_told_together() -> None:
    one = told(AT[1] + b'{"level": "error", "msg": "no key 7"}', AT[1] + b'{"path": "/a", "status": 500, "tenant": 1}')
    other = told(AT[0] + b'{"level": "error", "msg": "no key 9"}', AT[2] + b'{"path": "/a", "status": 200, "tenant": 1}',
                 AT[2] + b'{"level": "info", "msg": "x"}')  # fmt: skip
    found = merged({"one": one, "other": other})
    assert (found["lines"], found["requests"], found["server_errors"], found["error_ratio"]) == (5, 2, 1, 0.5)
    assert found["levels"] == {"error": 2, "info": 1}
    assert found["errors"] == [{"text": "no key <n>", "count": 2, "first": "2026-11-24T02:10:00Z", "last": "2026-11-24T02:11:00Z",
                                "sources": ["one", "other"]}]  # fmt: skip
    (path,) = found["endpoints"]
    assert (path["requests"], path["server_errors"], path["tenants"]) == (2, 1, {"1": [1, 1]})
