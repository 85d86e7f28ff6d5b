# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that the Kubernetes modules share (see module_utils/_kubernetes/client.py)."""

    DOCUMENTATION = r"""
requirements:
  - kubernetes (the Python client, which reads kubeconfigs and their logins)
options:
  kubeconfig:
    description: The kubeconfig file. Without it and O(context), the default one, or the account of the pod that this runs in.
    type: path
  context:
    description: Its context; the current one by default.
    type: str
  cluster:
    description: The name that the context's cluster must have. Of another one nothing is asked.
    type: str
  namespace:
    description: The namespace.
    type: str
    required: true
  timeout:
    description: How long the API server may take for one answer, in seconds.
    type: float
    default: 10.0
"""
