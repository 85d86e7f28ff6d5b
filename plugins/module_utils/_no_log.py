# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking secrets out of results where no AnsibleModule does it (private to the collection; pure)."""

from __future__ import annotations

import base64
import html
import typing as t
import unicodedata
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option

Json = dict[str, t.Any]
HIDDEN = "********"
# Shorter ones stand in many a word that tells nothing.
SHORTEST_SECRET = 4


def scrubbed(text: str, secrets: t.Iterable[str]) -> str:
    """A text without secrets, also where a server has encoded them or put in what nobody sees. To be done before it is cut.

    >>> scrubbed("HTTP 401: bad key abc123", ["abc123"])
    'HTTP 401: bad key ********'
    """
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    if any(form in text for form in forms):
        return _replaced(text, forms)
    seen = "".join(character for character in text if unicodedata.category(character) not in ("Cf", "Cs"))
    return _replaced(seen, forms) if any(form in seen for form in forms) else text


def _replaced(text: str, forms: t.Iterable[str]) -> str:
    for form in forms:
        text = text.replace(form, HIDDEN)
    return text


def _forms(secret: str) -> t.Iterator[str]:
    """A secret as it may come back: as it is, in a URL, in HTML, in JSON or Python, in base64."""
    if len(secret) < SHORTEST_SECRET:
        return
    yield from {secret, urllib.parse.quote(secret, safe=""), html.escape(secret), repr(secret)[1:-1]}
    yield from {"".join(f"&#{ord(one)};" if not one.isalnum() else one for one in secret)}
    # In base64 of something longer it stands in one of three ways; the ends depend on what stands beside it.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode("utf-8", "replace")).decode()
        inner = encoded[(0, 2, 3)[shift] : len(encoded.rstrip("=")) - 1]
        if len(inner) >= 2 * SHORTEST_SECRET:
            yield inner


def secrets_of(spec: t.Mapping[str, Option], params: t.Mapping[str, t.Any]) -> list[str]:
    """The values of the ``no_log`` options, as they were given and as they are used."""
    given = [str(params[name]) for name, option in spec.items() if option.get("no_log") and params.get(name)]
    return [*given, *(value.strip() for value in given)]


def without_secrets(result: Json, spec: t.Mapping[str, Option], params: t.Mapping[str, t.Any]) -> Json:
    """A result in which no value of a ``no_log`` option is left, in whatever place.

    >>> without_secrets({"abc123": ["a key is abc123"]}, {"key": {"no_log": True}}, {"key": "abc123"})
    {'********': ['a key is ********']}
    """
    secrets = secrets_of(spec, params)
    cleaned: Json = _cleaned(result, secrets)
    return cleaned


def _cleaned(value: t.Any, secrets: t.Sequence[str]) -> t.Any:
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, dict):
        return {_cleaned(name, secrets): _cleaned(one, secrets) for name, one in value.items()}
    return [_cleaned(one, secrets) for one in value] if isinstance(value, (list, tuple)) else value
