"""Measuring URLs: rounds, numbers, and when it is enough."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import (
    Sample,
    Wanted,
    matches,
    percentile,
    probe,
    problem_with,
    read_at_most,
    summary,
)

URL = "https://api.example.org/health"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# the failures of the rounds, what is wanted, rounds made, in a row, settled
ROUNDS = [
    ("one good look", [None], Wanted(requests=1), 1, 1, True),
    ("one bad look", ["HTTP 503"], Wanted(requests=1), 1, 0, False),
    ("three in a row after a relapse", [None, None, "x", None, None, None], Wanted(1, consecutive=3, within=60), 6, 3, True),
    ("the time is over", ["x"] * 9, Wanted(1, consecutive=3, within=4, interval=2), 3, 0, False),
    ("two are not three", [None, None], Wanted(1, consecutive=3, within=1, interval=1), 2, 2, False),
]


@pytest.mark.parametrize(("name", "failures", "wanted", "rounds", "in_a_row", "settled"), ROUNDS, ids=[one[0] for one in ROUNDS])
def test_rounds(name: str, failures: list[str | None], wanted: Wanted, rounds: int, in_a_row: int, settled: bool) -> None:
    script, clock = iter(failures), Clock()
    result = probe([URL], wanted, fetch_one=lambda *_: Sample(5.0, next(script)), clock=clock, sleep=clock.sleep)
    assert (result["rounds"], result["in_a_row"], result["settled"]) == (rounds, in_a_row, settled)


def test_no_url_proves_nothing() -> None:
    result = probe([], Wanted(consecutive=1))
    assert (result["probes"], result["settled"], result["rounds"]) == ([], False, 0)


def test_numbers() -> None:
    samples = [*[Sample(float(n), None) for n in range(1, 20)], Sample(2000.04, "timed out")]
    told = summary(URL, samples, None)
    assert told == {"url": URL, "method": "GET", "requests": 20, "failures": 1, "reasons": {"timed out": 1}, "p50_ms": 10.0, "p95_ms": 19.0,
                    "max_ms": 2000.0, "good": False}  # fmt: skip


def test_a_slow_round_is_not_good() -> None:
    samples = [Sample(600.0, None)]
    assert summary(URL, samples, 500.0)["good"] is False
    assert summary(URL, samples, 700.0)["good"] is True
    assert summary(URL, [], 700.0)["good"] is False


@pytest.mark.parametrize(("values", "share", "expected"), [([], 0.95, None), ([7.0], 0.95, 7.0), ([1.0, 2.0], 0.5, 1.0)])
def test_percentile(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


URLS = [
    (URL, None),
    ("http://127.0.0.1:8080/x?y=1", None),
    ("ftp://example.org", "http:// or https://"),
    ("example.org/health", "http:// or https://"),
    ("https://", "http:// or https://"),
    ("https://user:secret@example.org/", "password in a URL"),
    ("https://example.org:notaport/", "Port"),
]


@pytest.mark.parametrize(("url", "problem"), URLS)
def test_urls(url: str, problem: str | None) -> None:
    found = problem_with(url)
    assert found is None if problem is None else problem in str(found)


@pytest.mark.parametrize("length", [b"-1", b"ffffffff", b"-5"])
def test_a_chunk_that_lies_about_its_length_is_read_to_the_limit_only(length: bytes) -> None:
    class Socket:
        def __init__(self) -> None:
            self.file = io.BytesIO(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + length + b"\r\n" + b"x" * 3_000_000)

        def makefile(self, _mode: str) -> io.BufferedReader:
            return io.BufferedReader(t.cast("io.RawIOBase", self.file))

    connected = Socket()
    answer = http.client.HTTPResponse(t.cast("t.Any", connected))
    answer.begin()
    with contextlib.suppress(ValueError, http.client.HTTPException):
        assert len(read_at_most(answer, 50_000)) <= 50_000  # or what it says is refused
    assert connected.file.tell() < 200_000


def test_only_a_body_s_beginning_is_searched() -> None:
    """On a body that was made for it, a search takes a time that grows with the square of the length; nothing can stop it."""
    assert matches(re.compile("found"), b"x" * 16_000 + b"found")
    assert not matches(re.compile("found"), b"x" * 20_000 + b"found")
    assert matches(None, b"")
