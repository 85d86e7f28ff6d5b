# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""aws_triage_info without the cost of a copied module: a thin shell over module_utils/_aws."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import AWS_IMPORT_ERROR
from ansible_collections.sre.runbooks.plugins.module_utils._aws.triage import argument_spec, triage_from
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option
from ansible_collections.sre.runbooks.plugins.plugin_utils._in_place import InPlaceOrModule

Json = dict[str, t.Any]


class ActionModule(InPlaceOrModule):
    """Asks AWS from the controller's own process."""

    argument_spec: t.ClassVar[t.Mapping[str, Option]] = argument_spec()

    def missing(self) -> bool:
        return AWS_IMPORT_ERROR is not None

    def look(self, params: Json) -> Json:
        return {"cloud": triage_from(params)}
