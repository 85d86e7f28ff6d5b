# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two pod templates (private to the collection; pure).

Only names and images are told: values, arguments and probes may be secret.
Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import HASH

Json = dict[str, t.Any]
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# As what of a configuration is kept in an annotation, so that a change of it makes new pods.
CONFIGURATION = re.compile(r"checksum|config|secret|reloader", re.IGNORECASE)
OF_THEIR_OWN = ("containers", "initContainers")


def changes(before: Json, after: Json) -> list[str]:
    """What differs, by name; of images also what they are. Empty for a restart."""
    found: list[str] = []
    for kind in OF_THEIR_OWN:
        found += _containers(before["spec"].get(kind) or [], after["spec"].get(kind) or [])
    others = ({**one["spec"], **dict.fromkeys(OF_THEIR_OWN)} for one in (before, after))
    found += _different(*others)
    for kind in ("labels", "annotations"):
        old, new = ((one.get("metadata") or {}).get(kind) or {} for one in (before, after))
        found += [f"{kind[:-1]} {name}" for name in _different(old, new) if name not in (RESTARTED, HASH)]
    return found


def is_restarted(before: Json, after: Json) -> bool:
    """Whether new pods of the same were all that was asked for: only annotations differ, and none that tells a configuration
    (kubectl rollout restart, and what dashboards and charts use for it)."""
    keys = _annotations_only(before, after)
    return bool(keys) and not any(CONFIGURATION.search(key) for key in keys)


def is_configuration(before: Json, after: Json) -> bool:
    """Whether only an annotation differs that stands for a ConfigMap's or a Secret's content (Helm's checksum/…, Reloader)."""
    keys = _annotations_only(before, after)
    return any(CONFIGURATION.search(key) for key in keys)


def _annotations_only(before: Json, after: Json) -> list[str]:
    """The annotations that differ, where nothing else does."""
    old, new = ((one.get("metadata") or {}).get("annotations") or {} for one in (before, after))
    found = _different(old, new)
    return found if all(change.startswith("annotation ") for change in changes(before, after)) else []


def _containers(before: t.Sequence[Json], after: t.Sequence[Json]) -> list[str]:
    old, new = ({one["name"]: one for one in side} for side in (before, after))
    found = [f"container {name} is gone" for name in old if name not in new]
    for name, one in new.items():
        if name not in old:
            found.append(f"container {name} is new")
            continue
        was = old[name]
        if was.get("image") != one.get("image"):
            found.append(f"image {_short(was.get('image'))} → {_short(one.get('image'))}")
        env = ({e["name"]: e for e in side.get("env") or []} for side in (was, one))
        found += [f"env {variable}" for variable in _different(*env)]
        rest = ({**side, "image": None, "env": None} for side in (was, one))
        found += _different(*rest)
    return found


def _short(image: t.Any) -> str:
    """An image's name, of its digest so much as tells it from others."""
    return re.sub(r"(@\w+:\w{12})\w+", r"\1", str(image))


def _different(before: Json, after: Json) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
