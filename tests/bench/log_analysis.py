"""``python -m tests.bench.log_analysis [MiB]``: our analyser against grep | sed | sort | uniq, each on one core.

Ours tells requests and their failures by endpoint and minute besides; theirs tells what lines with "error" say, masked.
"""

from __future__ import annotations

import datetime
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from tests import collection
from tests.bench.logs import lines
from tests.lab.state import PROJECT, LabError

BLOCK_BYTES = 16 << 20
DEFAULT_MIB = 1024
PIECE = 65536
RATIO_AT_MOST, MIB_AT_MOST = 1.0, 200
MASKS = "s/[0-9]{4}-[0-9-]{5}T[0-9:.]+Z/<time>/g; s/[0-9]{1,3}(\\.[0-9]{1,3}){3}/<address>/g; s/[0-9]+/<n>/g"


collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._logs.analyser import Source


def analyse(path: str) -> None:
    """What the child does that is measured."""
    source = Source()
    with pathlib.Path(path).open("rb") as file:
        source.feed(iter(lambda: file.read(PIECE), b""), stamped=True)
    told = source.as_data()
    print(
        f"{told['lines']} lines, {told['requests']} requests, {told['server_errors']} failed, {len(told['templates'])} templates"
    )


def timed(command: list[str]) -> float:
    started = time.monotonic()
    done = subprocess.run(["taskset", "-c", "0", *command], capture_output=True, text=True, cwd=PROJECT)
    if done.returncode:
        raise LabError(f"{command[0]} failed: {done.stderr[-500:]}")
    print("\n".join(f"    {line[:110]}" for line in done.stdout.splitlines()[:3]))
    return time.monotonic() - started


def main() -> int:
    if sys.argv[1:2] == ["--analyse"]:
        analyse(sys.argv[2])
        return 0
    mib = int(sys.argv[1]) if sys.argv[1:] else DEFAULT_MIB
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place, "app.log")
        block = "".join(lines(BLOCK_BYTES, datetime.datetime(2026, 11, 24, 2, tzinfo=datetime.UTC), 1800)).encode()
        with path.open("wb") as file:
            for _number in range(max(1, (mib << 20) // BLOCK_BYTES)):
                file.write(block)
        theirs = timed(["sh", "-c", f"grep -iE error {path} | sed -E '{MASKS}' | sort | uniq -c | sort -rn"])
        ours = timed([sys.executable, "-m", "tests.bench.log_analysis", "--analyse", str(path)])
        size = path.stat().st_size / (1 << 20)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"ours                     {ours:7.2f} s  {size / ours:6.1f} MiB/s, {memory:.0f} MiB of memory (at most {MIB_AT_MOST})")
    print(f"grep | sed | sort | uniq {theirs:7.2f} s  {size / theirs:6.1f} MiB/s")
    print(f"ours : theirs {ours / theirs:.1f} (at most {RATIO_AT_MOST})")
    return 0 if ours / theirs <= RATIO_AT_MOST and memory <= MIB_AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
