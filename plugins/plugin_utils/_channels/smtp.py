# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mail, over a connection whose server is known, with one deadline (private to the collection).

community.general.mail checks no certificate, sends a password without encryption where ``secure`` is ``try``, has no deadline
for the whole and no check mode, and does not say whether a mail may have arrived all the same.
Source: RFC 5321, RFC 3207
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.message
import email.utils
import smtplib
import socket
import ssl
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import is_loopback
from ansible_collections.sre.runbooks.plugins.module_utils._no_log import without_secrets
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

Json = dict[str, t.Any]
SECURE = ("starttls", "always", "never")
SECRETS: t.Mapping[str, Option] = {"password": {"no_log": True}}


class MailError(Exception):
    """A mail was not sent; the message names the server and the way out."""


@dataclasses.dataclass
class Progress:
    """How far a delivery came: whether the server was there, and whether it was handed the text."""

    connected: bool = False
    handed_over: bool = False
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    server: smtplib.SMTP | None = None
    given_up: bool = False

    def give_up(self) -> None:
        """Ends the delivery where it is: what is not handed over by now never will be."""
        self.given_up = True
        if self.server is not None and self.server.sock is not None:
            with contextlib.suppress(OSError):
                self.server.sock.shutdown(socket.SHUT_RDWR)


def deliver(args: t.Mapping[str, t.Any], *, check_mode: bool) -> Json:
    """What became of a mail, as a module says it: ``failed``, ``msg``; ``unknown`` where it may have arrived all the same,
    ``down`` where nobody answered. ``args``: the settings of incident_mail_*, ``subject``, ``body`` and ``incident``."""
    return without_secrets(_delivered(args, check_mode), SECRETS, args)


def _delivered(args: t.Mapping[str, t.Any], check_mode: bool) -> Json:
    shown = {name: args[name] for name in ("sender", "to", "subject", "body")}
    request = {"method": "MAIL", "path": ",".join(args["to"]), "body": shown}
    progress = Progress()
    where = f"mail server {args['host']}:{args['port']}"
    try:
        _refuse_plaintext(args)
        mail = _mail(args)
        if not check_mode:
            _in_time(args, mail, progress)
    except MailError as error:
        return {"failed": True, "msg": f"{where}: {error}", "unknown": False, "down": False}
    except smtplib.SMTPAuthenticationError as error:
        # Some servers send back what they were told, which is the password.
        return {"failed": True, "msg": f"{where} refused the login ({error.smtp_code})", "unknown": False, "down": False}
    except smtplib.SMTPResponseException as error:
        # The server said no, so it has not taken the mail.
        why = _decoded(error.smtp_error)
        return {"failed": True, "msg": f"{where} refused: {error.smtp_code} {why}", "unknown": False, "down": False}
    except smtplib.SMTPRecipientsRefused as error:
        why = "; ".join(f"{name}: {_decoded(answer[1])}" for name, answer in error.recipients.items())
        return {"failed": True, "msg": f"{where} refused: {why}", "unknown": False, "down": False}
    except (OSError, LateError, smtplib.SMTPException, ValueError) as error:
        late = isinstance(error, (LateError, TimeoutError))
        why = f"{where}: {error or type(error).__name__}. Check incident_mail_host, _port, _secure and _ca_path"
        return {"failed": True, "msg": why, "unknown": progress.handed_over, "down": late or not progress.connected}
    left_out = "; ".join(f"{name} was refused: {why}" for name, why in progress.refused.items())
    return {"changed": True, "requests": [request], "left_out": left_out}


def _decoded(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _in_time(args: t.Mapping[str, t.Any], mail: email.message.EmailMessage, progress: Progress) -> None:
    try:
        within(args["timeout"], lambda: _send(args, mail, progress))
    except LateError:
        progress.give_up()
        raise


def _refuse_plaintext(args: t.Mapping[str, t.Any]) -> None:
    if args["secure"] not in SECURE:
        raise MailError(f"incident_mail_secure is one of {', '.join(SECURE)}, not {args['secure']!r}")
    safe = args["secure"] != "never" or is_loopback(
        f"smtp://[{args['host']}]" if ":" in args["host"] else f"smtp://{args['host']}"
    )
    if args["password"] and not safe and not args["allow_plaintext"]:
        raise MailError("the password would be sent unencrypted: incident_mail_secure is starttls or always")


def _mail(args: t.Mapping[str, t.Any]) -> email.message.EmailMessage:
    mail = email.message.EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = args["sender"], ", ".join(args["to"]), args["subject"]
    mail["Date"] = email.utils.formatdate()
    mail["Message-ID"] = email.utils.make_msgid(domain="sre.runbooks.invalid")
    mail["X-Incident"] = args["incident"]
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(args["body"])
    return mail


def _send(args: t.Mapping[str, t.Any], mail: email.message.EmailMessage, progress: Progress) -> None:
    context = ssl.create_default_context(cafile=args["ca_path"])
    name = socket.gethostname()  # the full name would be asked of a server that may be down
    with contextlib.closing(_server(args, context, name)) as server:
        progress.connected, progress.server = True, server
        if args["secure"] == "starttls":
            server.starttls(context=context)
        if args["username"]:
            server.login(args["username"], args["password"] or "")
        server.ehlo_or_helo_if_needed()
        code, reason = server.mail(args["sender"])
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, reason, args["sender"])
        answers = {recipient: server.rcpt(recipient) for recipient in args["to"]}
        refused = {recipient: answer for recipient, answer in answers.items() if answer[0] not in (250, 251)}
        if len(refused) == len(answers):
            raise smtplib.SMTPRecipientsRefused(refused)
        progress.refused = {recipient: _decoded(answer[1]) for recipient, answer in refused.items()}
        if progress.given_up:
            return
        progress.handed_over = True
        code, reason = server.data(mail.as_bytes(policy=mail.policy.clone(linesep="\r\n")))
        if code != 250:
            raise smtplib.SMTPDataError(code, reason)
        # It is taken; how the server says goodbye changes nothing.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()


def _server(args: t.Mapping[str, t.Any], context: ssl.SSLContext, name: str) -> smtplib.SMTP:
    common: Json = {"host": args["host"], "port": args["port"], "local_hostname": name, "timeout": args["timeout"]}
    return smtplib.SMTP_SSL(context=context, **common) if args["secure"] == "always" else smtplib.SMTP(**common)
