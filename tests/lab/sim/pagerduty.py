"""PagerDuty REST v2 as far as the runbooks use it, with its refusals (https://developer.pagerduty.com/api-reference)."""

from __future__ import annotations

import datetime
import itertools
import time
import typing as t

from tests.lab.sim.framework import Answer, Field, Json, Rejected, Request, Route, Simulator, main

REFERENCE = {"id": Field(required=True), "type": Field(required=True)}
STATUSES = ("triggered", "acknowledged", "resolved")
INCIDENT = {
    "type": Field(required=True, choices=("incident", "incident_reference")),
    "title": Field(required=True, longest=1024),
    "service": Field(dict, required=True, fields=REFERENCE),
    "urgency": Field(choices=("high", "low")),
    "priority": Field(dict, fields=REFERENCE),
    "body": Field(dict, fields={"type": Field(required=True, choices=("incident_body",)), "details": Field()}),
    "incident_key": Field(longest=255),
    "assignments": Field(list),
    "escalation_policy": Field(dict, fields=REFERENCE),
    "conference_bridge": Field(dict),
}
CHANGES = {
    "type": Field(required=True, choices=("incident", "incident_reference")),
    "status": Field(choices=STATUSES),
    "title": Field(longest=1024),
    "urgency": Field(choices=("high", "low")),
    "priority": Field(dict, fields=REFERENCE),
    "escalation_level": Field(int),
    "escalation_policy": Field(dict, fields=REFERENCE),
    "assignments": Field(list),
    "resolution": Field(),
    "conference_bridge": Field(dict),
}
STATUS_UPDATE = {"message": Field(required=True), "subject": Field(), "html_message": Field()}
RESPONDER_REQUEST = {
    "requester_id": Field(required=True),
    "message": Field(required=True),
    "responder_request_targets": Field(list, required=True),
}
PAGES = ("limit", "offset", "total")


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reference(thing: Json | None) -> Json | None:
    """A thing as others show it."""
    if thing is None:
        return None
    return {name: thing[name] for name in ("id", "summary", "html_url")} | {"type": f"{thing['type']}_reference", "self": None}


class PagerDuty(Simulator):
    name = "pagerduty"
    allowance = 960

    def populate(self) -> None:
        self.numbers = itertools.count(1)
        self.incidents: dict[str, Json] = {}
        self.notes: dict[str, list[Json]] = {}
        self.told: list[Json] = []
        policy = self._thing("escalation_policy", "PESC001", "Database on-call")
        self.policies = [{**policy, "escalation_rules": []}]
        self.services = [
            {**self._thing("service", identity, name), "escalation_policy": reference(policy)}
            for identity, name in (("PSVC001", "Custody database"), ("PSVC002", "API"))
        ]
        self.schedule = reference(self._thing("schedule", "PSCH001", "Database rota"))
        self.priorities = [self._thing("priority", f"PPRI00{n}", f"P{n}") for n in (1, 2, 3, 4)]
        self.users = [{**self._thing("user", "PUSR001", "Database on-call (primary)"), "email": "oncall@example.org"}]

    def _thing(self, kind: str, identity: str, name: str) -> Json:
        return {"id": identity, "type": kind, "summary": name, "name": name,
                "html_url": f"https://lab.pagerduty.example/{kind}/{identity}"}  # fmt: skip

    def routes(self) -> t.Sequence[Route]:
        return (
            Route("GET", "/incidents", self.list_incidents,
                  query=(*PAGES, "statuses[]", "incident_key", "service_ids[]", "date_range", "since", "until")),
            Route("POST", "/incidents", self.create, {"incident": Field(dict, required=True, fields=INCIDENT)}),
            Route("GET", "/incidents/{identity}", self.get),
            Route("PUT", "/incidents/{identity}", self.update, {"incident": Field(dict, required=True, fields=CHANGES)}),
            Route("GET", "/incidents/{identity}/notes", self.list_notes),
            Route("POST", "/incidents/{identity}/notes", self.add_note,
                  {"note": Field(dict, required=True, fields={"content": Field(required=True, longest=25000)})}),
            Route("POST", "/incidents/{identity}/status_updates", self.update_stakeholders, STATUS_UPDATE),
            Route("POST", "/incidents/{identity}/responder_requests", self.request_responders, RESPONDER_REQUEST),
            Route("GET", "/oncalls", self.oncalls, query=(*PAGES, "escalation_policy_ids[]", "earliest")),
            Route("GET", "/services", self.listing("services"), query=(*PAGES, "query")),
            Route("GET", "/escalation_policies", self.listing("escalation_policies"), query=(*PAGES, "query")),
            Route("GET", "/users", self.listing("users"), query=(*PAGES, "query")),
            Route("GET", "/priorities", self.listing("priorities"), query=PAGES),
        )  # fmt: skip

    def authorize(self, request: Request) -> None:
        if request.headers.get("Authorization") != f"Token token={self.key}":
            raise self.refuse(401, ["Invalid authentication"])
        if request.method in ("POST", "PUT"):
            sender = request.headers.get("From")
            if sender not in [user["email"] for user in self.users]:
                raise self.refuse(400, ["Requester User Not Found" if sender else "From header is required"])

    def refuse(self, status: int, messages: list[str]) -> Rejected:
        titles = {401: ("Unauthorized", 2006), 404: ("Not Found", 2100)}
        message, code = titles.get(status, ("Invalid Input Provided", 2001))
        return Rejected(status, {"error": {"message": message, "code": code, "errors": messages}})

    def over_the_limit(self, seconds: int) -> Rejected:
        return Rejected(429, {"error": {"message": "Rate Limit Exceeded", "code": 2020}},
                        {"ratelimit-limit": str(self.allowance), "ratelimit-remaining": "0",
                         "ratelimit-reset": str(seconds)})  # fmt: skip

    def listing(self, name: str) -> t.Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            things = {"services": self.services, "escalation_policies": self.policies, "users": self.users,
                      "priorities": self.priorities}[name]  # fmt: skip
            wanted = request.one("query").lower()
            return 200, self._page(request, name, [thing for thing in things if wanted in thing["name"].lower()])

        return answer

    def _page(self, request: Request, name: str, things: list[Json]) -> Json:
        limit, offset = int(request.one("limit", "25")), int(request.one("offset", "0"))
        if limit > 100:
            raise self.refuse(400, ["Limit must be at most 100"])
        return {name: things[offset : offset + limit], "limit": limit, "offset": offset, "total": None,
                "more": len(things) > offset + limit}  # fmt: skip

    def list_incidents(self, request: Request) -> Answer:
        found = self.listed(self.incidents.values())
        if request.query.get("statuses[]"):
            found = [incident for incident in found if incident["status"] in request.query["statuses[]"]]
        if request.one("incident_key"):
            found = [incident for incident in found if incident["incident_key"] == request.one("incident_key")]
        return 200, self._page(request, "incidents", found)

    def create(self, request: Request) -> Answer:
        asked = request.body["incident"]
        service = self._known(self.services, asked["service"]["id"], "Service")
        if asked.get("assignments") and asked.get("escalation_policy"):
            raise self.refuse(400, ["Only one of assignments and escalation_policy may be given"])
        for incident in self.incidents.values():
            same = incident["service"]["id"] == service["id"] and incident["incident_key"] == asked.get("incident_key")
            if same and asked.get("incident_key") and incident["status"] != "resolved":
                raise Rejected(400, {"error": {"message": "Arguments Caused Error", "code": 2002, "errors": [
                    "Open incident with matching dedup key already exists on this service"]}})  # fmt: skip
        number = next(self.numbers)
        identity = f"Q{number:06d}LAB"
        priority = asked.get("priority") and self._known(self.priorities, asked["priority"]["id"], "Priority")
        policy = asked.get("escalation_policy", {}).get("id", "PESC001")
        self.incidents[identity] = {
            **self._thing("incident", identity, asked["title"]), "incident_number": number, "title": asked["title"],
            "status": "triggered", "incident_key": asked.get("incident_key") or f"srv{number:06d}/HT4KEY",
            "service": reference(service), "urgency": asked.get("urgency", "high"), "priority": priority or None,
            "body": asked.get("body"), "created_at": now(), "last_status_change_at": now(), "resolution": None,
            "escalation_policy": reference(self._known(self.policies, policy, "Escalation policy")),
            "assignments": [], "acknowledgements": [],
        }  # fmt: skip
        self.notes[identity] = []
        self.made[identity] = time.monotonic()
        return 201, {"incident": self.incidents[identity]}

    def _known(self, things: list[Json], identity: str, what: str) -> Json:
        for thing in things:
            if thing["id"] == identity:
                return thing
        raise self.refuse(400, [f"{what} Not Found"])

    def _incident(self, identity: str) -> Json:
        if identity not in self.incidents:
            raise self.refuse(404, ["Incident Not Found"])
        return self.incidents[identity]

    def get(self, request: Request, identity: str) -> Answer:
        return 200, {"incident": self._incident(identity)}

    def update(self, request: Request, identity: str) -> Answer:
        incident, asked = self._incident(identity), request.body["incident"]
        if asked.get("status", incident["status"]) != incident["status"]:
            incident["last_status_change_at"] = now()
        if "priority" in asked:
            incident["priority"] = self._known(self.priorities, asked["priority"]["id"], "Priority")
        incident |= {name: asked[name] for name in ("status", "title", "urgency", "resolution") if name in asked}
        if "escalation_level" in asked:
            self.told.append({"incident": identity, "escalation_level": asked["escalation_level"]})
        return 200, {"incident": incident}

    def list_notes(self, request: Request, identity: str) -> Answer:
        self._incident(identity)
        return 200, {"notes": self.notes[identity]}

    def add_note(self, request: Request, identity: str) -> Answer:
        self._incident(identity)
        if len(self.notes[identity]) >= 2000:
            raise self.refuse(400, ["Incident has the maximum number of notes"])
        note = {
            "id": f"PNOTE{sum(map(len, self.notes.values())) + 1:03d}",
            "content": request.body["note"]["content"],
            "created_at": now(),
            "user": reference(self.users[0]),
            "channel": {"summary": "The PagerDuty website or APIs"},
        }
        self.notes[identity].append(note)
        return 200, {"note": note}

    def update_stakeholders(self, request: Request, identity: str) -> Answer:
        self._incident(identity)
        update = {"id": f"PUPD{len(self.told) + 1:03d}", **request.body, "sender": reference(self.users[0]), "created_at": now()}
        self.told.append({"incident": identity, "status_update": request.body["message"]})
        return 200, {"status_update": update}

    def request_responders(self, request: Request, identity: str) -> Answer:
        self._known(self.users, request.body["requester_id"], "Requester")
        targets = [one["responder_request_target"] for one in request.body["responder_request_targets"]]
        for target in targets:
            things = self.users if target["type"] == "user_reference" else self.policies
            self._known(things, target["id"], "Responder request target")
        self.told.append({"incident": identity, "responders": [target["id"] for target in targets]})
        answer = {"incident": reference(self._incident(identity)), "requester": reference(self.users[0]), "requested_at": now(),
                  "message": request.body["message"], "responder_request_targets": []}  # fmt: skip
        return 200, {"responder_request": answer}

    def oncalls(self, request: Request) -> Answer:
        wanted = request.query.get("escalation_policy_ids[]", [policy["id"] for policy in self.policies])
        found = [
            {"user": reference(self.users[0]), "escalation_policy": reference(policy), "escalation_level": 1,
             "schedule": self.schedule, "start": "2026-01-01T00:00:00Z", "end": None}
            for policy in self.policies
            if policy["id"] in wanted
        ]  # fmt: skip
        return 200, self._page(request, "oncalls", found)

    def state(self) -> Json:
        return {"incidents": list(self.incidents.values()), "notes": self.notes, "told": self.told}


if __name__ == "__main__":
    main(PagerDuty())
