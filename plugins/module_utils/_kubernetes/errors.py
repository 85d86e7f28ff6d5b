# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between a module and a Kubernetes API server (private to the collection)."""

from __future__ import annotations


class KubernetesError(Exception):
    """What was asked was not done; the message names the cluster, the request and the way out."""


class RefusedError(KubernetesError):
    """The API server said no. ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OutcomeUnknownError(KubernetesError):
    """A write was sent and no answer came, so nobody knows whether it was done."""
