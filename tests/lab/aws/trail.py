"""The account's journal of calls, and CloudTrail's view of it: writes only where they are asked for, 50 a page, late."""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
import typing as t
import urllib.parse
import uuid

from tests.lab.aws.world import ACCOUNT, REGION, USERS

Json = dict[str, t.Any]
READS = ("Describe", "Get", "List", "Lookup", "Head", "Filter")
PAGE = 50


class Trail:
    """Every call that the account received, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: list[Json] = []

    def note(self, call: Json | None, status: int) -> None:
        """What is no call of the API is not noted."""
        if call:
            with self._lock:
                self.calls.append({**call, "at": time.time(), "status": status})

    def events(self, asked: Json, delay: float) -> Json:
        """What LookupEvents answers to a request."""
        wanted = {one["AttributeKey"]: one["AttributeValue"] for one in asked.get("LookupAttributes") or []}
        since, until = float(asked.get("StartTime") or 0), float(asked.get("EndTime") or time.time() + 60)
        with self._lock:
            seen = [one for one in self.calls if one["at"] <= time.time() - delay and since <= one["at"] <= until]
        found = [event(one) for one in reversed(seen)]
        found = [one for one in found if all(one.get(name) == value for name, value in wanted.items())]
        start = int(asked.get("NextToken") or 0)
        page = found[start : start + min(PAGE, int(asked.get("MaxResults") or PAGE))]
        more = start + len(page) < len(found)
        return {"Events": page, **({"NextToken": str(start + len(page))} if more else {})}


def call_of(headers: t.Mapping[str, str], body: bytes) -> Json | None:
    """Who called what with what, None for what is no call of the API."""
    signed = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
    if not signed:
        return None
    target = headers.get("X-Amz-Target", "")
    given: Json
    given = json.loads(body or b"{}") if target else dict(urllib.parse.parse_qsl(body.decode()))
    action = target.rpartition(".")[2] or given.get("Action", "")
    return {"who": USERS.get(signed[1], signed[1]), "key": signed[1], "service": signed[3], "action": action, "given": given}


def event(call: Json) -> Json:
    """One call as CloudTrail tells it.

    Source: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    """
    reads = call["action"].startswith(READS)
    at = datetime.datetime.fromtimestamp(int(call["at"]), datetime.UTC)
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{call['at']}{call['action']}"))
    source = f"{call['service']}.amazonaws.com"
    detail = {
        "eventVersion": "1.10", "eventTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "eventSource": source,
        "eventName": call["action"], "awsRegion": REGION, "readOnly": reads, "eventID": identity, "recipientAccountId": ACCOUNT,
        "userIdentity": {"type": "IAMUser", "userName": call["who"], "accountId": ACCOUNT, "accessKeyId": call["key"],
                         "arn": f"arn:aws:iam::{ACCOUNT}:user/{call['who']}"},
        "requestParameters": parameters(call["given"]),
        **({} if call["status"] < 400 else {"errorCode": "Client.Error"}),
    }  # fmt: skip
    return {
        "EventId": identity, "EventName": call["action"], "ReadOnly": "true" if reads else "false", "AccessKeyId": call["key"],
        "EventTime": call["at"], "EventSource": source, "Username": call["who"], "Resources": [],
        "CloudTrailEvent": json.dumps(detail),
    }  # fmt: skip


def parameters(given: Json) -> Json:
    """A request's parameters as CloudTrail writes them: camelCase, and lists of EC2 under ``items``."""
    told: Json = {}
    for name, value in sorted(given.items()):
        if name not in ("Action", "Version"):
            _put(told, [_camel(part) for part in name.split(".")], value)
    return t.cast("Json", _listed(told))


LISTS = {"userIdGroupPairs": "groups", "groups": "groups", "ipRanges": "ipRanges", "ipv6Ranges": "ipv6Ranges",
         "ipPermissions": "ipPermissions"}  # fmt: skip


def _camel(part: str) -> str:
    name = part[:1].lower() + part[1:]
    return LISTS.get(name, name)


def _put(told: Json, path: list[str], value: t.Any) -> None:
    for part in path[:-1]:
        told = told.setdefault(part, {})
    told[path[-1]] = int(value) if str(value).lstrip("-").isdigit() and path[-1].endswith("Port") else value


def _listed(value: t.Any) -> t.Any:
    if not isinstance(value, dict):
        return value
    if value and all(name.isdigit() for name in value):
        return {"items": [_listed(value[name]) for name in sorted(value, key=int)]}
    return {name: _listed(one) for name, one in value.items()}
