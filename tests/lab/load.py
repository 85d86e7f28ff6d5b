"""The lab's users: a steady stream of reads and writes, measured as a user would (p95, errors)."""

from __future__ import annotations

import collections
import http.client
import pathlib
import random
import ssl
import sys
import threading
import time
import urllib.parse

from tests.lab.state import Lab, serve_until_told

WORKERS = 6
PAUSE_SECONDS = 0.1
TIMEOUT_SECONDS = 2.0
WINDOW_SECONDS = 3.0
WRITE_SHARE = 0.3
TENANTS = 10
READS = ("keys", "keys", "keys", "search", "audit", "imports")


class Samples:
    """The requests of the last seconds: (finished at, milliseconds, failed)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: collections.deque[tuple[float, float, bool]] = collections.deque(maxlen=5000)

    def add(self, milliseconds: float, failed: bool) -> None:
        with self._lock:
            self._samples.append((time.monotonic(), milliseconds, failed))

    def summary(self) -> dict[str, float]:
        since = time.monotonic() - WINDOW_SECONDS
        with self._lock:
            recent = [(milliseconds, failed) for at, milliseconds, failed in self._samples if at >= since]
        latencies = sorted(milliseconds for milliseconds, _ in recent)
        return {
            "at": time.time(),
            "requests": len(recent),
            "errors": sum(failed for _, failed in recent),
            "p95_ms": round(latencies[int(len(latencies) * 0.95)], 1) if latencies else -1.0,
        }


def request(host: str, path: str, method: str, context: ssl.SSLContext | None) -> bool:
    """One request; True when it failed as a user sees it: no answer in time, or not 200."""
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    if context:
        connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_SECONDS, context=context)
    try:
        connection.request(method, path)
        return connection.getresponse().status != 200
    except (OSError, http.client.HTTPException):
        return True
    finally:
        connection.close()


def user(lab: Lab, host: str, samples: Samples, seed: int, context: ssl.SSLContext | None) -> None:
    draw = random.Random(seed)
    while True:
        if lab.read("load-pauses.json"):
            time.sleep(PAUSE_SECONDS)
            continue
        writes = draw.random() < WRITE_SHARE
        path = f"/{'sign' if writes else draw.choice(READS)}?tenant={draw.randint(1, TENANTS)}"
        started = time.monotonic()
        failed = request(host, path, "POST" if writes else "GET", context)
        samples.add((time.monotonic() - started) * 1000, failed)
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    front = lab.part("aws")["edge"] if "aws" in lab.parts() else lab.part("app")["url"]
    host = urllib.parse.urlsplit(front).netloc
    context = ssl.create_default_context(cafile=str(lab.file("authority.pem"))) if front.startswith("https") else None
    samples = Samples()
    for number in range(WORKERS):
        threading.Thread(target=user, args=(lab, host, samples, number, context), daemon=True).start()

    def publish() -> None:
        while True:
            lab.write("load.json", samples.summary())
            time.sleep(0.25)

    threading.Thread(target=publish, daemon=True).start()
    serve_until_told(lab, "load", {})


if __name__ == "__main__":
    main()
