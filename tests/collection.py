"""Lets Python import the collection from the checkout, wherever that lies."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.utils.collection_loader import _collection_finder

COLLECTIONS = pathlib.Path(__file__).resolve().parents[1] / ".collections"


def install() -> None:
    """From here on ``ansible_collections.sre.runbooks`` is this checkout."""
    finder: t.Any = _collection_finder._AnsibleCollectionFinder
    finder(paths=[str(COLLECTIONS)])._install()
