"""Lets the tests import the collection from the checkout, wherever that lies."""

from __future__ import annotations

import pathlib

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

PROJECT = pathlib.Path(__file__).resolve().parents[2]

_AnsibleCollectionFinder(paths=[str(PROJECT / ".collections")])._install()
