# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two pod templates (private to the collection; pure).

Only names and images are told: values, arguments and probes may be secret.
Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import HASH

Json = dict[str, t.Any]
RESTARTED = "kubectl.kubernetes.io/restartedAt"
PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
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
    """Whether the only difference is that somebody asked for new pods (kubectl rollout restart)."""
    stamps = [((one.get("metadata") or {}).get("annotations") or {}).get(RESTARTED) for one in (before, after)]
    return stamps[0] != stamps[1] and not changes(before, after)


def probe_paths(template: Json) -> list[str]:
    """The paths that the kubelet itself asks for."""
    probes = (one.get(name) or {} for one in template["spec"]["containers"] for name in PROBES)
    return sorted({str(probe["httpGet"]["path"]) for probe in probes if (probe.get("httpGet") or {}).get("path")})


def _containers(before: t.Sequence[Json], after: t.Sequence[Json]) -> list[str]:
    old, new = ({one["name"]: one for one in side} for side in (before, after))
    found = [f"container {name} is gone" for name in old if name not in new]
    for name, one in new.items():
        if name not in old:
            found.append(f"container {name} is new")
            continue
        was = old[name]
        if was.get("image") != one.get("image"):
            found.append(f"image {was.get('image')} → {one.get('image')}")
        env = ({e["name"]: e for e in side.get("env") or []} for side in (was, one))
        found += [f"env {variable}" for variable in _different(*env)]
        rest = ({**side, "image": None, "env": None} for side in (was, one))
        found += _different(*rest)
    return found


def _different(before: Json, after: Json) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
