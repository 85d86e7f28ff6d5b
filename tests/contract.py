"""Checks both sides of a good run's requests against the vendors' public API descriptions in $SPECS_DIR.

What our modules sent and what the simulators answered must both be what the descriptions allow. Where a description is
wrong, ``EXCUSED`` says so. Without $SPECS_DIR nothing can be checked, which is said.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
import typing as t

import jsonschema

from tests import harness
from tests.lab.sim import control
from tests.lab.state import Lab
from tests.scenarios.runner import break_all, run, scenarios

Json = dict[str, t.Any]
SPECS = {"pagerduty": "pagerduty_rest_openapiv3.json", "statuspage": "statuspage_voxgig_openapi3.json"}
# Where a description is defective: the start of the message that it causes, and what is wrong with it.
EXCUSED = {
    "statuspage": {
        "components": "models components with an example id as its property name",
        "metadata": "gives metadata the type Object",
    },
    "pagerduty": {
        "details": "gives the details of an incident's body the type object; its own examples are strings",
        "oncalls/0/end": "says in words that null means for ever, and does not allow it",
    },
}


def resolved(spec: Json, node: t.Any, depth: int = 0) -> t.Any:
    """A schema with its references put in, as far as a validator needs them."""
    if depth > 40:
        return {}
    if isinstance(node, dict):
        if "$ref" in node:
            target: t.Any = spec
            for part in node["$ref"].removeprefix("#/").split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                target = target[int(name)] if isinstance(target, list) else target[name]
            return resolved(spec, target, depth + 1)
        found = {name: resolved(spec, value, depth + 1) for name, value in node.items() if name not in ("example", "examples")}
        if found.pop("nullable", False) and isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
            if "enum" in found:
                found["enum"] = [*found["enum"], None]
        return found
    if isinstance(node, list):
        return [resolved(spec, value, depth + 1) for value in node]
    return node


def operation(spec: Json, method: str, path: str) -> Json | None:
    """The description of a request's operation."""
    for pattern, methods in spec["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path) and method.lower() in methods:
            return t.cast("Json", methods[method.lower()])
    return None


def schema_of(spec: Json, part: Json) -> Json | None:
    content = resolved(spec, part).get("content", {})
    return next((one["schema"] for name, one in content.items() if "json" in name and "schema" in one), None)


def violations(schema: Json | None, value: t.Any, vendor: str) -> t.Iterator[str]:
    """What is wrong with a value, without what the description is known to get wrong."""
    if schema is None:
        return
    try:
        jsonschema.Draft4Validator.check_schema(schema)
    except jsonschema.SchemaError:
        schema = json.loads(json.dumps(schema).replace('"type": "Object"', '"type": "object"'))
    for error in jsonschema.Draft4Validator(schema).iter_errors(value):
        where = "/".join(str(part) for part in error.absolute_path)
        if not any(name in where or name in error.message for name in EXCUSED[vendor]):
            yield f"{where}: {error.message[:160]}"


def check(spec: Json, vendor: str, entry: Json) -> t.Iterator[str]:
    """Everything that is wrong with one exchange."""
    what = f"{vendor} {entry['method']} {entry['path']}"
    described = operation(spec, entry["method"], entry["path"])
    if described is None:
        yield f"{what}: not in the description"
        return
    known = {resolved(spec, one)["name"] for one in described.get("parameters", [])}
    for name in entry["query"].keys() - known:
        yield f"{what}: the description has no parameter {name}"
    if entry["method"] != "GET":
        for problem in violations(schema_of(spec, described["requestBody"]), entry["body"], vendor):
            yield f"{what}, request: {problem}"
    answers = described["responses"]
    if str(entry["status"]) not in answers:
        yield f"{what}: the description has no answer {entry['status']}"
        return
    for problem in violations(schema_of(spec, answers[str(entry["status"])]), entry["answer"], vendor):
        yield f"{what}, answer {entry['status']}: {problem}"


def exchanges(lab: Lab, root: pathlib.Path) -> dict[str, list[Json]]:
    """What a good run with every channel on says and hears."""
    harness.settle(lab)
    (scenario,) = [one for one in scenarios() if one.name == "queued_ddl"]
    break_all(lab, scenario, seed=1)
    played = run(lab, root, scenario)
    if played.code:
        raise SystemExit(played.output)
    return {vendor: control.journal(lab, vendor) for vendor in SPECS}


def main() -> int:
    folder = os.environ.get("SPECS_DIR")
    if not folder:
        print("contract: SPECS_DIR is not set, so nothing was checked (a folder with the vendors' API descriptions)")
        return 0
    problems: list[str] = []
    count = 0
    with harness.a_lab("contract") as lab, harness.a_root() as root:
        for vendor, entries in exchanges(lab, root).items():
            spec = json.loads((pathlib.Path(folder) / SPECS[vendor]).read_text())
            count += len(entries)
            problems += [problem for entry in entries for problem in check(spec, vendor, entry)]
    for problem in dict.fromkeys(problems):
        print(problem)
    print(f"contract: {count} exchanges checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
