"""A connection whose answers are written down: what is sent, in order, and what comes back."""

from __future__ import annotations

import re
import typing as t

import psycopg2.sql

Rows = list[dict[str, t.Any]]


def text_of(statement: t.Any) -> str:
    """A statement as one text, with its names as they are."""
    if isinstance(statement, psycopg2.sql.Composed):
        return "".join(text_of(part) for part in statement.seq)
    if isinstance(statement, psycopg2.sql.Identifier):
        return ".".join(statement.strings)
    return str(getattr(statement, "string", getattr(statement, "wrapped", statement)))


class Script:
    """Answers statements by what they begin with, each answer once and the last one for ever; an exception is raised."""

    closed = False

    def __init__(self, **answers: list[Rows | Exception]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.sent: list[str] = []
        self.description: object = None

    def cursor(self, **_options: t.Any) -> Script:
        return self

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def execute(self, statement: t.Any, _values: t.Any) -> None:
        text = " ".join(text_of(statement).split())
        self.sent.append(text)
        name = next((name for name in sorted(self.answers, key=len, reverse=True) if _begins(text).startswith(name)), None)
        given = self.answers[name] if name else [[]]
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        self.rows, self.description = answer, answer or None

    def fetchall(self) -> Rows:
        return self.rows

    def changes(self) -> list[str]:
        """What was sent that is no look."""
        return [text for text in self.sent if not text.startswith("SELECT")]


def _begins(text: str) -> str:
    """How a statement is named in a script: its words, with what is between them made one sign."""
    return re.sub(r"\W+", "_", text)
