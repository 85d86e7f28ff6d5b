"""Datadog: each exchange with its exact requests."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._datadog.api import Monitor, Series, monitor, search, series
from ansible_collections.sre.runbooks.plugins.module_utils._datadog.calls import METRIC
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError

from tests.unit.http_script import Call, Script

Json = dict[str, t.Any]
GROUPS = {"service:api": {"status": "Alert"}, "service:web": {"status": "OK"}}
QUERY = "/api/v1/query?from=100&to=1000&query=p95%3Aapi%7B%2A%7D"


def test_a_monitor_with_the_groups_that_are_not_well() -> None:
    answer = {"id": 7, "name": "p95", "type": "metric alert", "overall_state": "Alert", "state": {"groups": GROUPS}}
    script = Script(Call("GET", "/api/v1/monitor/7?group_states=all", answer=answer))
    assert monitor(script.client(), 7) == Monitor(7, "p95", "metric alert", "Alert", {"service:api": "Alert"})
    script.finish()


def test_all_pages_of_a_search_are_read() -> None:
    def page(number: int) -> Call:
        answer = {"monitors": [{"id": number, "name": "m", "type": "x", "status": "OK"}], "metadata": {"page_count": 2}}
        return Call("GET", f"/api/v1/monitor/search?query=tag%3Aapi&page={number}&per_page=100", answer=answer)

    script = Script(page(0), page(1))
    assert [one.id for one in search(script.client(), "tag:api")] == [0, 1]
    script.finish()


SERIES: list[tuple[str, list[Json], list[Series]]] = [
    ("points", [{"metric": "api", "scope": "*", "pointlist": [[900000.0, 1.0], [960000.0, None], [970000.0, 3.0]]}],
     [Series("api", "*", 3.0, 30.0, 3.0, 2.0, 2)]),
    ("no points", [{"metric": "api", "scope": "*", "pointlist": []}], [Series("api", "*", None, None, None, None, 0)]),
    ("no series", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answer", "expected"), SERIES, ids=[row[0] for row in SERIES])
def test_a_query(name: str, answer: list[Json], expected: list[Series]) -> None:
    script = Script(Call("GET", QUERY, answer={"status": "ok", "series": answer}))
    assert series(script.client(), "p95:api{*}", 100, 1000) == expected
    script.finish()


def test_a_query_that_datadog_calls_failed_is_an_error() -> None:
    script = Script(Call("GET", QUERY, answer={"status": "error", "error": "Rule 'scope' didn't match", "series": []}))
    with pytest.raises(HttpError, match="Rule 'scope' didn't match"):
        METRIC.work({"query": "p95:api{*}", "window": 900, "now": 1000}, script.client())


def test_a_wrong_key_is_told_with_the_way_out() -> None:
    script = Script(Call("GET", "/api/v1/monitor/7?group_states=all", status=403, answer={"errors": ["Forbidden"]}))
    with pytest.raises(HttpError, match="HTTP 403: Forbidden. Check the"):
        monitor(script.client(), 7)
