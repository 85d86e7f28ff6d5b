# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs of pods, side by side, each read with bounded memory (private to the collection).

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._logs.analyser import Source

Json = dict[str, t.Any]
AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which lines: of the last ``seconds``, and no more than so many bytes of each container."""

    seconds: int
    bytes_max: int


def read_logs(client: Client, namespace: str, pods: t.Sequence[Json], asked: Asked) -> tuple[list[Json], list[Json]]:
    """What the logs of pods tell, a container each, and the gaps: those that could not be read, or were cut."""
    places = [(pod["name"], container) for pod in pods for container in pod["containers"]]
    told: list[Json] = []
    gaps: list[Json] = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = [pool.submit(_one, client, namespace, pod, container, asked) for pod, container in places]
        for (pod, container), answer in zip(places, answers, strict=True):
            try:
                source = answer.result()
            except (KubernetesError, OSError) as error:
                gaps.append({"diagnostic": f"log of {pod}/{container}", "reason": str(error)})
                continue
            told.append({"pod": pod, "container": container, **source.as_data()})
            if source.size >= asked.bytes_max:
                gaps.append(
                    {"diagnostic": f"log of {pod}/{container}", "reason": f"only {asked.bytes_max} bytes of it were read"}
                )
    return told, gaps


def _one(client: Client, namespace: str, pod: str, container: str, asked: Asked) -> Source:
    source = Source()
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    pieces = client.stream(
        path, container=container, timestamps="true", sinceSeconds=str(asked.seconds), limitBytes=str(asked.bytes_max)
    )
    source.feed(pieces, stamped=True)
    return source
