"""Lines of an application's log for the benches: JSON, logfmt, the combined access log and text, one in twenty an error."""

from __future__ import annotations

import datetime
import json
import random
import typing as t

PATHS = ("/custody/keys", "/custody/sign", "/auth/session", "/health")
ERRORS: tuple[t.Callable[[random.Random], str], ...] = (
    lambda draw: f"KeyError: 'policy' (request {draw.randint(1, 99999)})",
    lambda draw: f"timeout after {draw.randint(1, 9000)} ms calling the signer",
    lambda draw: f"connection refused to 10.0.{draw.randint(0, 9)}.{draw.randint(1, 250)}",
)
KINDS, SHARES = ("json", "access", "logfmt", "text", "error"), (40, 20, 20, 15, 5)


def body(draw: random.Random, kind: str, stamp: str) -> str:
    path = f"{draw.choice(PATHS)}?tenant={draw.randint(1, 9)}"
    status = 500 if draw.random() < 0.01 else 200
    if kind == "json":
        told = {"time": stamp, "level": "info", "msg": "request", "path": path, "status": status, "ms": draw.randint(1, 99)}
        return json.dumps(told)
    if kind == "access":
        return f'10.1.2.{draw.randint(1, 250)} - - [24/Nov/2026:02:10:00 +0000] "GET {path} HTTP/1.1" {status} 512 "-" "app/1.0"'
    if kind == "logfmt":
        return f'time={stamp} level=info msg="handled request" path={path} status={status} duration={draw.randint(1, 99)}ms'
    if kind == "text":
        return f"{stamp} INFO worker-{draw.randint(1, 9)} wrote batch {draw.randint(1, 99999)}"
    said = draw.choice(ERRORS)(draw)
    forms = (json.dumps({"time": stamp, "level": "error", "msg": said}), f"{stamp} ERROR {said}", f'level=error msg="{said}"')
    return draw.choice(forms)


def lines(size: int, since: datetime.datetime, seconds: float, seed: int = 1) -> t.Iterator[str]:
    """Lines with their runtime's time before each, as the API server sends them: so many bytes, spread over some seconds."""
    draw, written = random.Random(seed), 0
    while written < size:
        at = since + datetime.timedelta(seconds=seconds * written / size)
        stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        line = f"{stamp} {body(draw, draw.choices(KINDS, SHARES)[0], stamp)}\n"
        written += len(line)
        yield line
