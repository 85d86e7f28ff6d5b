# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else writes an object, and would write it back (private to the collection; pure).

Sources: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/, https://fluxcd.io/flux/components/kustomize/,
https://fluxcd.io/flux/components/helm/, https://helm.sh/docs/topics/advanced/
"""

from __future__ import annotations

import shlex
import typing as t

Json = dict[str, t.Any]


def owner_of(one: t.Mapping[str, t.Any]) -> Json | None:
    """The tool that keeps an object as its repository says: ``tool``, ``name`` and the command that ``suspend``s it. A plain
    Helm release is none: nobody writes its objects back until the next upgrade."""
    meta = one.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    tracking = annotations.get("argocd.argoproj.io/tracking-id")
    if tracking:
        name = str(tracking).partition(":")[0]
        return {"tool": "Argo CD", "name": name, "suspend": f"argocd app set {shlex.quote(name)} --sync-policy none"}
    if labels.get("argocd.argoproj.io/instance"):
        name = str(labels["argocd.argoproj.io/instance"])
        return {"tool": "Argo CD", "name": name, "suspend": f"argocd app set {shlex.quote(name)} --sync-policy none"}
    for kind in ("kustomize", "helm"):
        flux = labels.get(f"{kind}.toolkit.fluxcd.io/name")
        space = labels.get(f"{kind}.toolkit.fluxcd.io/namespace") or "flux-system"
        if flux:
            what = {"kustomize": "kustomization", "helm": "helmrelease"}[kind]
            return {
                "tool": "Flux",
                "name": str(flux),
                "suspend": f"flux suspend {what} {shlex.quote(str(flux))} -n {shlex.quote(str(space))}",
            }
    return None
