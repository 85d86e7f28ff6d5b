"""How tests and the lab's command line speak to the simulators: journal, faults, state, reset."""

from __future__ import annotations

import json
import typing as t
import urllib.request

from tests.lab.state import Lab

Json = dict[str, t.Any]


def _call(lab: Lab, vendor: str, path: str, body: Json | None = None) -> t.Any:
    request = urllib.request.Request(
        f"{lab.part(vendor)['control']}/_lab/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method="GET" if body is None else "POST",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def journal(lab: Lab, vendor: str) -> list[Json]:
    """Every API request since the last reset, in order, with the answer and the fault that struck."""
    return t.cast("list[Json]", _call(lab, vendor, "journal"))


def writes(lab: Lab, vendor: str) -> list[Json]:
    return [entry for entry in journal(lab, vendor) if entry["method"] != "GET"]


def state(lab: Lab, vendor: str) -> Json:
    return t.cast("Json", _call(lab, vendor, "state"))


def set_faults(lab: Lab, vendor: str, *faults: Json) -> None:
    """Asks for faults: ``{"write": k, "kind": "500|timeout|reset|slow|lost|null|nothing|cut|deep|kill|kill-after"}``, or for
    all requests ``{"kind": "down|black-hole"}``, ``{"kind": "lag", "seconds": s}`` (what was made is listed so much later) and
    for Datadog ``{"kind": "stuck", "since": time}`` (what was measured after that is not told)."""
    _call(lab, vendor, "faults", {"faults": list(faults)})


def reset(lab: Lab, *vendors: str) -> None:
    for vendor in vendors:
        _call(lab, vendor, "reset", {})
