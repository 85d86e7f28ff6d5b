"""The lab's mail server: a real SMTP server that keeps what it gets, asks for a login, and misbehaves on request."""

from __future__ import annotations

import asyncio
import email
import email.policy
import pathlib
import sys
import time
import typing as t

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.lab.postgresql.server import free_port
from tests.lab.sim.framework import Answer, HungUp, Json, Request, Route, Simulator, serve, strike
from tests.lab.state import Lab, serve_until_told

USER = "runbooks"
# What a fault's HTTP status means to somebody who speaks SMTP.
TRY_LATER = "451 4.3.0 try again later"


class Mail(Simulator):
    """The messages that were accepted; each is a write in the journal."""

    name = "mail"

    def populate(self) -> None:
        self.messages: list[Json] = []

    def routes(self) -> t.Sequence[Route]:
        return ()

    def state(self) -> Json:
        return {"messages": self.messages}

    def receive(self, envelope: Envelope) -> str:
        """One message's way: a fault that is due, else it is kept. Raises HungUp."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        message = email.message_from_bytes(content, policy=email.policy.default)
        text = message.get_body(("plain",))
        body: Json = {
            "subject": str(message["subject"]), "to": list(envelope.rcpt_tos), "text": str(text.get_content()) if text else "",
        }  # fmt: skip
        request = Request("POST", "/mail", {}, message, body)
        with self.lock:
            fault = self.due_fault(request)
        entry: Json = {"at": time.time(), "method": "POST", "path": "/mail", "query": {}, "from": envelope.mail_from,
                       "body": body, "fault": fault and fault["kind"], "done": False, "status": 0, "answer": None}  # fmt: skip

        def keep() -> Answer:
            with self.lock:
                self.messages.append(body)
                entry["done"] = True
            return 250, {}

        try:
            entry["status"] = (strike(fault, keep) if fault else keep())[0]
        finally:
            with self.lock:
                self.journal.append(entry)
        return "250 2.0.0 kept" if entry["status"] == 250 else TRY_LATER


class Handler:
    """What aiosmtpd calls."""

    def __init__(self, simulator: Mail) -> None:
        self.simulator = simulator

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        try:
            return await asyncio.to_thread(self.simulator.receive, envelope)
        except HungUp:
            transport = server.transport
            if transport is not None:
                transport.close()
            return TRY_LATER


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    simulator = Mail()

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: t.Any) -> AuthResult:
        return AuthResult(success=data.password == simulator.key.encode())

    port = free_port()
    controller = Controller(
        Handler(simulator), hostname="127.0.0.1", port=port, authenticator=authenticate, auth_required=True,
        auth_require_tls=False,
    )  # fmt: skip
    controller.start()
    told = {"url": f"smtp://127.0.0.1:{port}", "port": port, "control": serve(simulator), "key": simulator.key, "user": USER}
    serve_until_told(lab, "mail", told)


if __name__ == "__main__":
    main()
