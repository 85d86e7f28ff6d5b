"""Atlassian Statuspage v1 as far as the runbooks use it, with its refusals (https://developer.statuspage.io)."""

from __future__ import annotations

import datetime
import itertools
import time
import typing as t

from tests.lab.inventory import PAGE_ID
from tests.lab.sim.framework import Answer, Field, Json, Rejected, Request, Route, Simulator, main

REALTIME = ("investigating", "identified", "monitoring", "resolved")
SCHEDULED = ("scheduled", "in_progress", "verifying", "completed")
COMPONENT_STATUSES = ("operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage")
INCIDENT = {
    "name": Field(longest=255),
    "status": Field(choices=REALTIME + SCHEDULED),
    "impact_override": Field(choices=("none", "maintenance", "minor", "major", "critical")),
    "body": Field(longest=25000),
    "components": Field(dict),
    "component_ids": Field(list),
    "deliver_notifications": Field(bool),
    "metadata": Field(dict),
    "scheduled_for": Field(),
    "scheduled_until": Field(),
    "scheduled_remind_prior": Field(bool),
    "scheduled_auto_in_progress": Field(bool),
    "scheduled_auto_completed": Field(bool),
    "auto_transition_to_maintenance_state": Field(bool),
    "auto_transition_to_operational_state": Field(bool),
    "auto_transition_deliver_notifications_at_start": Field(bool),
    "auto_transition_deliver_notifications_at_end": Field(bool),
    "backfilled": Field(bool),
}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Statuspage(Simulator):
    name = "statuspage"
    prefix = "/v1"
    allowance = 60

    def populate(self) -> None:
        self.numbers = itertools.count(1)
        self.incidents: dict[str, Json] = {}
        self.components: dict[str, Json] = {
            f"cmp{number:09d}": {"id": f"cmp{number:09d}", "page_id": PAGE_ID, "name": name, "status": "operational",
                                 "group": False, "position": number}
            for number, name in enumerate(("Custody API", "Analytics API", "Auth service"), 1)
        }  # fmt: skip

    def routes(self) -> t.Sequence[Route]:
        page = f"/pages/{PAGE_ID}"
        body = {"incident": Field(dict, required=True, fields=INCIDENT)}
        new = {"incident": Field(dict, required=True, fields={**INCIDENT, "name": Field(required=True, longest=255)})}
        return (
            Route("GET", f"{page}/incidents", self.listing(lambda _: True), query=("q", "limit", "page")),
            Route("GET", f"{page}/incidents/unresolved", self.listing(self._unresolved), query=("page", "per_page")),
            Route("POST", f"{page}/incidents", self.create, new),
            Route("GET", f"{page}/incidents/{{identity}}", self.get),
            Route("PATCH", f"{page}/incidents/{{identity}}", self.update, body),
            Route("GET", f"{page}/components", self.list_components, query=("page", "per_page")),
        )

    def authorize(self, request: Request) -> None:
        if request.headers.get("Authorization") != f"OAuth {self.key}":
            raise Rejected(401, {"error": "Could not authenticate"})

    def refuse(self, status: int, messages: list[str]) -> Rejected:
        return Rejected(status, {"error": messages if status == 422 else messages[0]})

    def over_the_limit(self, seconds: int) -> Rejected:
        return Rejected(420, {"error": "Too many requests"}, {"Retry-After": str(seconds)})

    def _unresolved(self, incident: Json) -> bool:
        return incident["status"] in REALTIME[:-1]

    def listing(self, wanted: t.Callable[[Json], bool]) -> t.Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            limit = int(request.one("limit", request.one("per_page", "100")))
            page = int(request.one("page", "1"))
            if limit > 100:
                raise self.refuse(422, ["limit must be at most 100"])
            found = [incident for incident in self.listed(reversed(self.incidents.values())) if wanted(incident)]
            return 200, found[(page - 1) * limit : page * limit]

        return answer

    def list_components(self, request: Request) -> Answer:
        per_page, page = int(request.one("per_page", "100")), int(request.one("page", "1"))
        return 200, list(self.components.values())[(page - 1) * per_page : page * per_page]

    def _check(self, asked: Json) -> None:
        wrong = [f"component {name} not found" for name in asked.get("components", {}) if name not in self.components]
        wrong += [f"{status} is not a component status" for status in asked.get("components", {}).values()
                  if status not in COMPONENT_STATUSES]  # fmt: skip
        if asked.get("backfilled") and asked.get("components"):
            wrong.append("components cannot be changed by a backfilled incident")
        if wrong:
            raise self.refuse(422, wrong)

    def _post_update(self, incident: Json, asked: Json) -> None:
        changed = asked.get("components", {})
        for identity, status in changed.items():
            self.components[identity]["status"] = status
        for name in ("name", "status", "metadata"):
            incident[name] = asked.get(name, incident[name])
        if "impact_override" in asked:
            incident["impact"] = incident["impact_override"] = asked["impact_override"]
        incident["updated_at"] = now()
        incident["resolved_at"] = now() if incident["status"] in ("resolved", "completed") else None
        known = {component["id"]: component for component in incident["components"]}
        known |= {identity: self.components[identity] for identity in [*changed, *asked.get("component_ids", [])]}
        incident["components"] = list(known.values())
        if "body" in asked or "status" in asked:
            number = sum(len(other["incident_updates"]) for other in self.incidents.values()) + 1
            incident["incident_updates"].insert(0, {
                "id": f"upd{number:09d}", "incident_id": incident["id"], "status": incident["status"],
                "body": asked.get("body", ""), "created_at": now(), "display_at": now(),
                "deliver_notifications": asked.get("deliver_notifications", True),
                "affected_components": [{"code": identity, "new_status": status} for identity, status in changed.items()],
            })  # fmt: skip

    def create(self, request: Request) -> Answer:
        asked = request.body["incident"]
        self._check(asked)
        identity = f"inc{next(self.numbers):09d}"
        incident: Json = {
            "id": identity, "page_id": PAGE_ID, "name": asked["name"], "status": asked.get("status", "investigating"),
            "impact": "none", "impact_override": None, "metadata": {}, "components": [], "incident_updates": [],
            "created_at": now(), "updated_at": now(), "resolved_at": None, "shortlink": f"https://stspg.example/{identity}",
        }  # fmt: skip
        self.incidents[identity] = incident
        self.made[identity] = time.monotonic()
        self._post_update(incident, {"status": incident["status"], **asked})
        return 201, incident

    def _incident(self, identity: str) -> Json:
        if identity not in self.incidents:
            raise self.refuse(404, ["Not found"])
        return self.incidents[identity]

    def get(self, request: Request, identity: str) -> Answer:
        return 200, self._incident(identity)

    def update(self, request: Request, identity: str) -> Answer:
        incident, asked = self._incident(identity), request.body["incident"]
        self._check(asked)
        self._post_update(incident, asked)
        return 200, incident

    def state(self) -> Json:
        return {"incidents": list(self.incidents.values()), "components": list(self.components.values())}


if __name__ == "__main__":
    main(Statuspage())
