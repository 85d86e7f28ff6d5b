"""The report in a real browser: it fits a phone, runs nothing, loads nothing, whatever the texts in it are."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import typing as t

import pytest

from tests import collection

collection.install()

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.report import Source, sections, to_html

WHEN = "2026-11-24T02:14:00.000Z"
HOSTILE = "<script>parent.pwned = 1</script><img src=x onerror='parent.pwned = 1'>\u202e\x1b[31m " + "long" * 60
# The frame is as wide as the phone; what it holds is measured from outside, since the page itself may run no script.
FRAME = """<!DOCTYPE html><iframe id=f width=WIDTH height=800 style="border:0" src="report.html"></iframe><pre id=told></pre>
<script>
onload = () => { const page = document.getElementById("f").contentDocument;
  document.getElementById("told").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth, scripts: page.scripts.length, images: page.images.length,
    pwned: window.pwned || 0, pictures: page.querySelectorAll("svg").length, title: page.title}); }</script>"""


def source(text: str) -> Source:
    incident = {
        "id": "db_degradation-prod-db-20261124T0214Z", "title": text, "targets": [text], "severity": "P2", "state": "resolved",
        "detected_at": WHEN, "declared_at": WHEN, "resolved_at": "2026-11-24T02:16:00.000Z", "alert": text,
    }  # fmt: skip
    events = [
        {"at": WHEN, "run": "r", "kind": "note", "text": text},
        {"at": WHEN, "run": "r", "kind": "outcome", "effect": text, "system": text, "status": "done", "detail": text},
    ]
    finding = {"role": "cause", "id": "db.queued_ddl", "confidence": "proven", "summary": text, "manual_command": text}
    gap = {"system": text, "kind": text, "what": text, "why": text, "vital": True}
    numbers = [(text, "p95 2001.7 ms, 9 of 10 failed", "p95 20 ms, 0 of 10 failed")]
    tables = [Table("Where the work goes", ("share", "of", "statement"), (("96 %", text, text),), (text,))]
    verdict = {"verdict": "cause_found", "findings": [finding], "gaps": [gap], "ruled_out": [{**gap, "id": "x"}]}
    return Source(incident, verdict, events, [(text, text, text, text)], numbers, tables, [text])


def measured(folder: pathlib.Path, page: str, width: int) -> dict[str, t.Any]:
    browser = shutil.which("chromium")
    assert browser, "chromium is missing: make system"
    (folder / "report.html").write_text(page)
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom",
               "--virtual-time-budget=4000", f"--user-data-dir={folder}/profile", f"file://{folder}/frame.html"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = re.search(r"<pre id=\"told\">(.*?)</pre>", done.stdout, re.DOTALL)
    assert told, done.stdout[-500:] + done.stderr[-500:]
    return t.cast("dict[str, t.Any]", json.loads(told[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("text", ["Database degradation", HOSTILE], ids=["plain", "hostile"])
def test_the_report_fits_and_is_inert(tmp_path: pathlib.Path, text: str, width: int) -> None:
    told = measured(tmp_path, to_html(sections(source(text))), width)
    assert told["width"] <= width
    assert (told["scripts"], told["images"], told["pwned"], told["pictures"]) == (0, 0, 0, 1)
