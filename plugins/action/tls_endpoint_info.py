# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tls_endpoint_info without the cost of a copied module: a thin shell over module_utils/_tls."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option
from ansible_collections.sre.runbooks.plugins.module_utils._tls.look import (
    CRYPTOGRAPHY_IMPORT_ERROR,
    argument_spec,
    served_from,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._in_place import InPlaceOrModule

Json = dict[str, t.Any]


class ActionModule(InPlaceOrModule):
    """Connects from the controller's own process."""

    argument_spec: t.ClassVar[t.Mapping[str, Option]] = argument_spec()

    def missing(self) -> bool:
        return CRYPTOGRAPHY_IMPORT_ERROR is not None

    def look(self, params: Json) -> Json:
        return {"served": served_from(params)}
