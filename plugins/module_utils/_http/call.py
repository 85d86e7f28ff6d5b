# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call to a vendor as a module makes it, for those who have no process to spend on it (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError, OutcomeUnknownError
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import UrlTransport

Json = dict[str, t.Any]
Params = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Call:
    """What a vendor's module is: its options, how the vendor is spoken to, and what is done (raises HttpError)."""

    argument_spec: t.Mapping[str, t.Mapping[str, t.Any]]
    settings: t.Callable[[Params], Settings]
    work: t.Callable[[Params, Client], Json]
    required_one_of: t.Sequence[t.Sequence[str]] = ()

    def make(self, params: Params, *, check_mode: bool) -> Json:
        """The module's result, with ``failed`` and ``msg`` where it failed; ``unknown`` where it may have been done."""
        transport = UrlTransport(params["timeout"], params["validate_certs"])
        client = Client(self.settings(params), transport, check_mode=check_mode)
        try:
            result = self.work(params, client)
        except HttpError as error:
            return {"failed": True, "msg": str(error), "unknown": isinstance(error, OutcomeUnknownError)}
        requests = [dataclasses.asdict(sent) for sent in client.sent]
        return {"changed": bool(client.sent), **result, "requests": requests}

    def in_place(self, args: Params, *, check_mode: bool) -> Json:
        """The same from arguments that nobody has looked at yet."""
        checked = ArgumentSpecValidator(self.argument_spec, required_one_of=self.required_one_of).validate(dict(args))
        if checked.error_messages:
            return {"failed": True, "msg": "; ".join(checked.error_messages)}
        return self.make(checked.validated_parameters, check_mode=check_mode)
