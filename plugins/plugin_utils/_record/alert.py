# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the alert that started a run: from a file or a pipe, as much as is wanted and comes in time (private)."""

from __future__ import annotations

import errno
import os
import select
import stat
import time

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

ALERT_BYTES = 65536
# A pipe whose other end stays open is left after this long, with what came.
ALERT_SECONDS = 5.0


def read_alert(path: str | None, pid: int) -> str | None:
    """The alert's text, cut; ``-`` is the standard input. Raises RecordError when it cannot be read."""
    if not path:
        return None
    # A task's own standard input is closed by Ansible; the run's process still has the real one.
    source = f"/proc/{pid}/fd/0" if path == "-" else path
    try:
        _refuse_a_stranger_s_link(source)
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.isatty(handle):
                raise RecordError("incident_alert_file=- reads the standard input, and that is a terminal: pipe the alert in")
            return _content(handle).decode("utf-8", "replace")
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        if path == "-":  # a socket, or closed: the look is worth more than the text
            return f"the alert could not be read from the standard input ({error})"
        raise RecordError(f"the alert {plain(path, 200)} cannot be read ({error}); nothing was touched") from error


def _refuse_a_stranger_s_link(source: str) -> None:
    """Raises OSError for a link that somebody else has made: it would show them what only we may read."""
    found = os.lstat(source)
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, "it is a link that somebody else has made")


def _content(handle: int) -> bytes:
    pieces, size = [], 0
    until = time.monotonic() + ALERT_SECONDS
    late = stat.S_ISFIFO(os.fstat(handle).st_mode)  # whoever writes into a pipe by its name may come after us
    while size < ALERT_BYTES and select.select([handle], [], [], max(0.0, until - time.monotonic()))[0]:
        piece = os.read(handle, ALERT_BYTES - size)
        if not piece and late and not size and time.monotonic() < until:
            time.sleep(0.05)
            continue
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
