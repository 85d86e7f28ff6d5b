# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else writes an object, and would write it back (private to the collection; pure).

Sources: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/, https://fluxcd.io/flux/components/kustomize/,
https://fluxcd.io/flux/components/helm/, https://helm.sh/docs/topics/advanced/,
https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Owner

Json = dict[str, t.Any]


# Kubernetes itself writes only what follows from the template.
SYSTEM = ("kube-controller-manager", "kube-scheduler")
LONGEST_NAME = 60
OWN_WORDS = ("its own resource",)
# One word, or the known names: it stands beside commands, and must be none.
TOOL = re.compile(r"Argo CD|Config Sync|[A-Za-z][\w./-]{0,59}")
NAME = re.compile(r"[A-Za-z0-9][\w.:/-]{0,252}")
# Who writes for a person who typed it; everything else that wrote a Secret's data may write it back.
BY_HAND = re.compile(
    r"kubectl(-(client-side-apply|last-applied|create|apply|edit|patch|replace|label|annotate|set|rollout))?|[Hh]elm|k9s|lens"
    r"|sre\.runbooks|before-first-apply|Mozilla"
)
SECRET_TOOLS = re.compile(r"external-secrets\.io|sealedsecrets|vault|reflector|kyverno|argocd\.argoproj\.io", re.IGNORECASE)
CONTROLLER = re.compile(r"(controller|operator|reconciler)", re.IGNORECASE)


def owner_of(one: t.Mapping[str, t.Any], kind: str = "deployment") -> Owner | None:
    """The tool that keeps an object as something else says: ``tool``, ``name`` and the command that ``suspend``s it, or shows
    what must be changed instead. A plain Helm release is none: nobody writes its objects back until the next upgrade."""
    meta = one.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    managers = _writers_of_the_template(meta)
    return (
        _argo_cd(labels, annotations, managers)
        or _flux(labels)
        or _config_sync(meta, annotations, kind)
        or _object(meta)
        or _manager(managers)
    )


def owner_of_data(one: t.Mapping[str, t.Any], kind: str) -> Owner | None:
    """The same of a Secret or a ConfigMap: also by its labels, and by whoever wrote its data and is no tool of a person."""
    known = owner_of(one, kind)
    if known:
        return known
    meta = one.get("metadata") or {}
    managers = [
        str(entry.get("manager")) for entry in meta.get("managedFields") or [] if "f:data" in (entry.get("fieldsV1") or {})
    ]
    marks = {*(meta.get("labels") or {}), *(meta.get("annotations") or {})}
    mark = next((mark for mark in sorted(marks) if SECRET_TOOLS.search(mark)), None)
    manager = next((one for one in managers if not BY_HAND.fullmatch(one)), None)
    found = mark or manager
    return _told(found, "its own resource", "find its owner") if found else None


def _argo_cd(labels: Json, annotations: Json, managers: t.Sequence[str]) -> Owner | None:
    tracking = annotations.get("argocd.argoproj.io/tracking-id")
    name = str(tracking).partition(":")[0] if tracking else str(labels.get("argocd.argoproj.io/instance") or "")
    if not name and any(manager.startswith("argocd") for manager in managers):  # its label of old is shared with Helm
        name = str(labels.get("app.kubernetes.io/instance") or "unknown")
    return _told("Argo CD", name, f"argocd app set {_quoted(name)} --sync-policy none") if name else None


def _flux(labels: Json) -> Owner | None:
    for kind, what in (("kustomize", "kustomization"), ("helm", "helmrelease")):
        name = str(labels.get(f"{kind}.toolkit.fluxcd.io/name") or "")
        space = str(labels.get(f"{kind}.toolkit.fluxcd.io/namespace") or "flux-system")
        if name:
            return _told("Flux", name, f"flux suspend {what} {_quoted(name)} -n {_quoted(space)}")
    return None


def _config_sync(meta: Json, annotations: Json, kind: str) -> Owner | None:
    if annotations.get("configmanagement.gke.io/managed") != "enabled":
        return None
    name, space = str(meta.get("name")), str(meta.get("namespace"))
    suspend = f"kubectl -n {_quoted(space)} annotate {kind} {_quoted(name)} configmanagement.gke.io/managed=disabled --overwrite"
    return _told("Config Sync", name, suspend)


def _object(meta: Json) -> Owner | None:
    """Another object, whose operator makes this one after it."""
    owner = next((own for own in meta.get("ownerReferences") or [] if own.get("controller")), None)
    if owner is None:
        return None
    kind, name, space = (str(part) for part in (owner.get("kind"), owner.get("name"), meta.get("namespace")))
    return _told(kind, name, f"kubectl -n {_quoted(space)} edit {_quoted(kind)} {_quoted(name)}")


def _manager(managers: t.Sequence[str]) -> Owner | None:
    """A controller that wrote the pod template, whatever it is."""
    found = next((one for one in managers if CONTROLLER.search(one) and not one.startswith(SYSTEM)), None)
    return _told(found, "its own resource", f"suspend {_quoted(found)}") if found else None


def _writers_of_the_template(meta: Json) -> list[str]:
    """Who wrote fields of the pod template, by the server's own books (metadata.managedFields)."""
    entries = meta.get("managedFields") or []
    return [str(one.get("manager")) for one in entries if "f:template" in ((one.get("fieldsV1") or {}).get("f:spec") or {})]


def _quoted(name: str) -> str:
    """A name as a word of a command that is pasted; what could be an option, or more than a name, is left for its reader."""
    return shlex.quote(name) if NAME.fullmatch(name) else "ITS-NAME"


def _told(tool: str, name: str, suspend: str) -> Owner:
    """A tool's name is anybody's text, and stands beside commands that are pasted."""
    shown = name[:LONGEST_NAME] if NAME.fullmatch(name) or name in OWN_WORDS else "ITS-NAME"
    return {"tool": tool if TOOL.fullmatch(tool) else "another tool", "name": shown, "suspend": suspend}
