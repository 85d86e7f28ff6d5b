"""One lab for the whole session; each test begins with healthy users and forgetful vendors."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from tests import harness
from tests.lab.state import Lab


@pytest.fixture(scope="session")
def running_lab() -> t.Iterator[Lab]:
    with harness.a_lab("live") as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> t.Iterator[Lab]:
    harness.settle(running_lab)
    yield running_lab
    harness.settle(running_lab)


@pytest.fixture
def root() -> t.Iterator[pathlib.Path]:
    with harness.a_root() as folder:
        yield folder
