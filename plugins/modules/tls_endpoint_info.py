#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_endpoint_info
short_description: Tells which certificates are served, as a client from outside sees them
version_added: 0.4.0
description:
  - Connects to the endpoints of some addresses, and tells the certificates that each serves, for which names and until when, and
    whether they are trusted here, and why not.
  - What is served may be another certificate than what lies on the server's disk.
notes:
  - M(community.crypto.get_certificate) reads one endpoint a task, and does not say whether a client would trust what it got.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
requirements:
  - cryptography (which ansible-core needs too)
options:
  urls:
    description: The addresses, C(https://host[:port]/…). Each endpoint is looked at once.
    type: list
    elements: str
    required: true
  timeout:
    description: How long one handshake may take, in seconds. Two are made.
    type: float
    default: 5.0
  ca_path:
    description: A file with the authorities that are trusted, instead of the system's.
    type: path
"""

EXAMPLES = r"""
- name: See which certificate is served
  sre.runbooks.tls_endpoint_info:
    urls: [https://api.example.org/health]
  register: look
"""

RETURN = r"""
served:
  description: What each endpoint serves.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint:
      description: The endpoint, C(host:port).
      type: str
      returned: always
    name:
      description: The name that was asked for.
      type: str
      returned: always
    urls:
      description: The addresses behind it.
      type: list
      elements: str
      returned: always
    at:
      description: When, by the clock here (RFC 3339, UTC).
      type: str
      returned: always
    failure:
      description: Why there was no handshake; empty where there was.
      type: str
      returned: always
    distrust:
      description: Why it is not trusted here; empty where it is.
      type: str
      returned: always
    distrust_code:
      description: OpenSSL's number for it, V(0) where it is trusted.
      type: int
      returned: always
    chain:
      description: The certificates, the leaf first, each with its subject, issuer, names, serial number and times.
      type: list
      elements: dict
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._tls.look import (
    CRYPTOGRAPHY_IMPORT_ERROR,
    argument_spec,
    served_from,
)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if CRYPTOGRAPHY_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=CRYPTOGRAPHY_IMPORT_ERROR)
    try:
        module.exit_json(changed=False, served=served_from(module.params))
    except ValueError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
