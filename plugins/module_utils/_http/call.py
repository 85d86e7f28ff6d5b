# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call to a vendor as a module makes it, for those who have no process to spend on it (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import RATE_LIMITED, Client, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import (
    ApiError,
    DownError,
    HttpError,
    OutcomeUnknownError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Transport, UrlTransport
from ansible_collections.sre.runbooks.plugins.module_utils._no_log import secrets_of, without_secrets
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option

Json = dict[str, t.Any]
Params = t.Mapping[str, t.Any]
# What will never be taken, whoever asks again: not in this plan, not there, or not as the vendor wants it.
REFUSALS = (400, 402, 404, 405, 409, 410, 422)


@dataclasses.dataclass(frozen=True)
class Call:
    """What a vendor's module is: its options, how the vendor is spoken to, and what is done (both raise HttpError)."""

    argument_spec: t.Mapping[str, Option]
    settings: t.Callable[[Params], Settings]
    work: t.Callable[[Params, Client], Json]
    required_one_of: t.Sequence[t.Sequence[str]] = ()

    def make(self, params: Params, *, check_mode: bool, transport: Transport | None = None) -> Json:
        """The module's result, without secrets. Where it failed, ``failed`` and ``msg``; ``unknown`` where it may have been
        done all the same, ``down`` where nobody answered."""
        return without_secrets(self._made(params, check_mode, transport), self.argument_spec, params)

    def _made(self, params: Params, check_mode: bool, transport: Transport | None) -> Json:
        try:
            settings = dataclasses.replace(self.settings(params), secrets=secrets_of(self.argument_spec, params))
            client = Client(settings, transport or UrlTransport(params["validate_certs"]), check_mode=check_mode)
            result = self.work(params, client)
        except OutcomeUnknownError as error:
            return {"failed": True, "msg": str(error), "unknown": True, "down": error.down}
        except ApiError as error:
            busy = error.status >= 500 or error.status in RATE_LIMITED
            refused = error.status in REFUSALS
            return {"failed": True, "msg": str(error), "unknown": False, "down": busy and params["tries"] > 1, "refused": refused}
        except HttpError as error:
            return {"failed": True, "msg": str(error), "unknown": False, "down": isinstance(error, DownError)}
        requests = [dataclasses.asdict(sent) for sent in client.sent]
        return {"changed": bool(client.sent), **result, "requests": requests}

    def in_place(self, args: Params, *, check_mode: bool) -> Json:
        """The same from arguments that nobody has looked at yet."""
        checked = ArgumentSpecValidator(self.argument_spec, required_one_of=self.required_one_of).validate(dict(args))
        if checked.error_messages:
            return without_secrets({"failed": True, "msg": "; ".join(checked.error_messages)}, self.argument_spec, args)
        try:
            return self.make(checked.validated_parameters, check_mode=check_mode)
        except Exception as error:  # a fault of ours in a vendor's call must not end the run
            why = f"{type(error).__name__} in our own code; please report it"
            return {"failed": True, "msg": why, "unknown": True, "down": False}
