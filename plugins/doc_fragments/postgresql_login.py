# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The login options that the PostgreSQL modules share (see module_utils/_postgresql/connection.py)."""

    DOCUMENTATION = r"""
options:
  login_host:
    description: The server's name or address. In an outage, the address of the server itself, not of a pooler.
    type: str
    required: true
  login_port:
    description: The server's port.
    type: int
    default: 5432
  login_db:
    description: The database to connect to.
    type: str
    required: true
  login_user:
    description: The role to log in as.
    type: str
    required: true
  login_password:
    description: The role's password. Leave it out for a passfile or a login without password.
    type: str
  ssl_mode:
    description:
      - How TLS is used, as in libpq. V(verify-full) is the only one that proves who answers.
      - With any other one no password is sent in clear text, whatever the server asks for (libpq 16 and later), but a server that
        is not yours still learns enough to guess it.
    type: str
    default: prefer
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: The authorities that may have signed the server's certificate, a file; C(~/.postgresql/root.crt) by default.
    type: path
  connect_timeout:
    description: How long to wait for a connection, in seconds.
    type: int
    default: 5
requirements:
  - psycopg2 >= 2.9
"""
