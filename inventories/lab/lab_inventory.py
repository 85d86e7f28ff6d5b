#!/usr/bin/env python3
"""The lab as a dynamic inventory: what `python -m tests.lab inventory` says, for the lab named by $LAB."""

import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = PROJECT / ".venv" / "bin" / "python"

if __name__ == "__main__":
    command = [str(PYTHON if PYTHON.exists() else sys.executable), "-m", "tests.lab", "inventory"]
    sys.exit(subprocess.run(command, cwd=PROJECT).returncode)
