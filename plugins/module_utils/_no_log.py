# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking secrets out of results where no AnsibleModule does it (private to the collection)."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.parameters import remove_values

Json = dict[str, t.Any]


def without_secrets(result: Json, spec: t.Mapping[str, t.Mapping[str, t.Any]], params: t.Mapping[str, t.Any]) -> Json:
    """A result in which no value of a ``no_log`` option is left, whatever a server has sent back of it.

    >>> without_secrets({"msg": "HTTP 401: bad key abc123"}, {"key": {"no_log": True}}, {"key": "abc123"})
    {'msg': 'HTTP 401: bad key ********'}
    """
    given = [params.get(name) for name, option in spec.items() if option.get("no_log")]
    secrets = {str(value) for value in given if value} | {str(value).strip() for value in given if value}
    cleaned: Json = remove_values(result, secrets - {""})  # type: ignore[no-untyped-call]
    return cleaned
