"""Datadog's API v1 as far as the runbooks use it; it lags as the real one does (https://docs.datadoghq.com/api/latest).

What the lab's users measure becomes a metric, in buckets that are told only when they are old; the monitor judges those.
"""

from __future__ import annotations

import pathlib
import sys
import threading
import time
import typing as t

from tests.lab.sim.framework import Answer, Json, Rejected, Request, Route, Simulator, serve
from tests.lab.state import Lab, serve_until_told

BUCKET_SECONDS = 5
LAG_SECONDS = 20
MONITOR = 4711
LIMIT_MS = 500.0
QUERY = "p95:api.response_time{service:custody-api}"


class Datadog(Simulator):
    """One monitor on one metric."""

    name = "datadog"
    allowance = 600

    def populate(self) -> None:
        self.application_key = self.key[::-1]
        self.samples: list[tuple[float, float]] = []

    def routes(self) -> t.Sequence[Route]:
        return (
            Route("GET", "/api/v1/monitor/search", self.search, query=("query", "page", "per_page", "sort")),
            Route("GET", "/api/v1/monitor/{identity}", self.monitor, query=("group_states", "with_downtimes")),
            Route("GET", "/api/v1/query", self.query, query=("from", "to", "query")),
        )

    def authorize(self, request: Request) -> None:
        keys = (request.headers.get("DD-API-KEY"), request.headers.get("DD-APPLICATION-KEY"))
        if keys != (self.key, self.application_key):
            raise self.refuse(403, ["Forbidden"])

    def refuse(self, status: int, messages: list[str]) -> Rejected:
        return Rejected(400 if status == 422 else status, {"errors": messages})

    def over_the_limit(self, seconds: int) -> Rejected:
        return Rejected(429, {"errors": ["Rate limit exceeded"]}, {"X-RateLimit-Reset": str(seconds)})

    def sample(self, milliseconds: float) -> None:
        with self.lock:
            self.samples = [*self.samples[-3600:], (time.time(), milliseconds)]

    def points(self, start: float, end: float) -> list[tuple[int, float]]:
        """The buckets that are old enough to be told: (start of the bucket, the highest p95 in it)."""
        now = next((fault["since"] for fault in self.faults if fault["kind"] == "stuck"), time.time())
        known = min(end, now - LAG_SECONDS)
        buckets: dict[int, float] = {}
        for at, value in self.samples:
            bucket = int(at // BUCKET_SECONDS * BUCKET_SECONDS)
            if start <= bucket and bucket + BUCKET_SECONDS <= known:
                buckets[bucket] = max(value, buckets.get(bucket, 0.0))
        return sorted(buckets.items())

    def overall(self) -> str:
        points = self.points(0, time.time())
        if not points:
            return "No Data"
        return "Alert" if points[-1][1] > LIMIT_MS else "OK"

    def monitor(self, request: Request, identity: str) -> Answer:
        if identity != str(MONITOR):
            raise self.refuse(404, ["Monitor not found"])
        state = self.overall()
        groups = {"service:custody-api": {"name": "service:custody-api", "status": state}}
        return 200, {
            "id": MONITOR, "name": "API p95", "type": "metric alert", "query": f"avg(last_1m):{QUERY} > 0.5",
            "overall_state": state, "state": {"groups": groups},
        }  # fmt: skip

    def search(self, request: Request) -> Answer:
        wanted = request.one("query").lower()
        every: list[Json] = [{"id": MONITOR, "name": "API p95", "type": "metric alert", "status": self.overall()}]
        found = [one for one in every if wanted in str(one["name"]).lower() or wanted.startswith("tag:")]
        return 200, {"monitors": found, "metadata": {"page": 0, "page_count": 1, "per_page": 30, "total_count": len(found)}}

    def query(self, request: Request) -> Answer:
        if request.one("query") != QUERY:
            return 200, {"status": "ok", "series": [], "query": request.one("query")}
        points = self.points(float(request.one("from")), float(request.one("to")))
        told = [[at * 1000, value / 1000] for at, value in points]
        series = [{"metric": "api.response_time", "scope": "service:custody-api", "pointlist": told, "interval": BUCKET_SECONDS}]
        return 200, {"status": "ok", "series": series if told else [], "query": QUERY}

    def state(self) -> Json:
        return {"monitor": self.overall()}


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    simulator = Datadog()
    url = serve(simulator)

    def listen() -> None:
        while True:
            load = lab.read("load.json") or {}
            if load.get("requests"):
                simulator.sample(load["p95_ms"])
            time.sleep(1.0)

    threading.Thread(target=listen, daemon=True).start()
    serve_until_told(
        lab, "datadog", {"url": url, "control": url, "key": simulator.key, "application_key": simulator.application_key}
    )


if __name__ == "__main__":
    main()
