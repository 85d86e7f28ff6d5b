#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: token_check_info
short_description: Tries a URL with a good token and with false ones
version_added: 0.1.0
description:
  - Sends GET requests to a URL that needs a Bearer token, with a good one if one is given, and with four that nobody signed. A
    service that accepts one of these does not verify what it is given.
  - The false ones are none at all, random text, the good token's own words with the algorithm C(none) and no signature, and
    the same words with a random signature. Where the good token is refused, or nothing answers, they are
    not tried.
  - Can ask the issuer (OpenID Connect) which keys it publishes, to see whether the one that signed the token is among them.
  - Returns by how much the service's clock differs from the one here.
notes:
  - M(ansible.builtin.uri) makes one request a task, knows no false tokens, and follows redirects with the token.
  - The false requests are a few failed logins in the service's log and in whatever counts them. Choose a URL that only reads.
  - The token is sent over TLS only, or to this machine, and to no other host. Redirects are not followed.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
options:
  url:
    description: A URL that only reads, and that answers 2xx with a good token and 401 without one.
    type: str
    required: true
  token:
    description: A good token, of a user made for tests. Without it only the false ones are tried.
    type: str
  issuer:
    description: The address of the token's issuer, whose C(/.well-known/openid-configuration) is asked for its keys.
    type: str
  keys_url:
    description:
      - The address of the issuer's keys, where it is on another host than the issuer, or the issuer publishes no document.
    type: str
  body_pattern:
    description:
      - A regular expression that the body of an accepted request contains, for services that answer 200 and refuse in the body.
        Without it a status of 2xx is taken for accepted. The first 16 KiB are searched.
    type: str
  requests:
    description: How many requests are made with each kind of token.
    type: int
    default: 5
  timeout:
    description: How long one request may take, in seconds.
    type: float
    default: 2.0
  validate_certs:
    description: Whether certificates are verified.
    type: bool
    default: true
  ca_path:
    description: A file of certificates of authorities to trust instead of the system's.
    type: path
"""

EXAMPLES = r"""
- name: See whether the API verifies what it is given
  sre.runbooks.token_check_info:
    url: https://api.example.org/v1/me
    token: "{{ runbooks_auth_token }}"
    issuer: https://login.example.org
  register: tokens
"""

RETURN = r"""
checked:
  description:
    - What came of it. RV(ignore:attempts) has an entry for each kind of token, C(token), C(none), C(garbage), C(unsigned),
      C(unsigned_other), C(stripped), C(forged), C(unknown_key) and, for the good token after these, C(again), with how often
      which HTTP status came, and why none did.
    - RV(ignore:claims) is what the good token says of itself, unverified, with times in seconds since 1970. V(none) where it says
      nothing that can be read.
    - RV(ignore:clocks) is by how many seconds the clocks of those who answered are ahead of the one here, to half a second.
    - RV(ignore:keys) says whether the issuer publishes the key that the token names, or why that is not known, how many keys it
      has, and by how much its clock is ahead. No word of its answer is returned.
    - RV(ignore:now) is the time here, in seconds since 1970.
  returned: success
  type: dict
  sample:
    url: https://api.example.org/v1/me
    attempts:
      - {kind: token, requests: 5, accepted: 5, statuses: {"200": 5}, failures: {}}
      - {kind: forged, requests: 5, accepted: 0, statuses: {"401": 5}, failures: {}}
    claims: {kid: key-2, algorithm: RS256, issuer: "https://login.example.org", issued: 1764150000, not_before: null,
             expires: 1764153600}
    clocks: {least: -0.3, most: 0.2, refusing: null}
    keys: {issuer: "https://login.example.org", url: "https://login.example.org", has: true, named: 2, unnamed: 0, refusal: null,
           clock: 0.1}
    now: 1764150010.5
    body_asked: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._token.check import argument_spec, check_from


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        checked = check_from(module.params)
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, checked=checked)


if __name__ == "__main__":
    main()
