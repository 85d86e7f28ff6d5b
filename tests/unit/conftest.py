"""Lets the tests import the collection."""

from __future__ import annotations

from tests import collection

collection.install()
