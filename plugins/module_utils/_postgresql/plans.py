# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be planned of a statement that somebody else runs, and what its plan says (private to the collection; pure).

A statement's text is text from outside. What is sent to the server is never that text, but a SELECT written anew from its
parse tree; ``planning`` asks for its plan. Source: https://www.postgresql.org/docs/current/using-explain.html
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import sql

Json = dict[str, t.Any]
# What a planned statement may be made of. Anything else (a later version's syntax, XML, JSON constructors, sampling) is not
# planned, since nobody has thought about what planning it would run.
_KNOWN = """
A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Alias BitString BoolExpr Boolean BooleanTest CaseExpr CaseWhen
CoalesceExpr CollateClause ColumnDef ColumnRef CommonTableExpr Float FuncCall GroupingFunc GroupingSet Integer JoinExpr
MinMaxExpr NullTest ParamRef RangeFunction RangeSubselect RangeVar ResTarget RowExpr SQLValueFunction SelectStmt SortBy
String SubLink TypeCast TypeName WindowDef WithClause
"""
KNOWN_NODES = frozenset(_KNOWN.split())
SCANS = ("Seq Scan",)
# What JOIN … USING, IN, BETWEEN, CASE, NULLIF, GROUP BY and LIKE compare by without naming it.
UNNAMED_OPERATORS = ("=", "<>", "<", "<=", ">", ">=", "~~", "~~*", "!~~", "!~~*")
JOINS = {"Hash Join": "Hash Cond", "Merge Join": "Merge Cond", "Nested Loop": "Join Filter"}


class UnplannableError(Exception):
    """A statement is not planned; the message says why."""


@dataclasses.dataclass(frozen=True)
class Names:
    """What a statement names: (schema or None, name) each. ``attributes`` may be columns or, by PostgreSQL's functional
    notation (``a.f`` for ``f(a)``), functions. ``queries`` are the names of its own WITH clauses."""

    functions: tuple[tuple[str | None, str], ...]
    attributes: tuple[str, ...]
    types: tuple[tuple[str | None, str], ...]
    operators: tuple[tuple[str | None, str], ...]
    tables: tuple[tuple[str | None, str], ...]
    queries: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Question:
    """A SELECT that reads what a statement reads: its parse tree, what it names, and whether it has parameters."""

    tree: t.Any
    names: Names
    has_parameters: bool

    def text(self, schemas: t.Mapping[str, str]) -> str:
        """The SELECT, with each table that has no schema put into the given one. Raises UnplannableError."""
        for node in sql.nodes(self.tree):
            if sql.kind(node) == "RangeVar" and not node.schemaname and node.relname in schemas:
                node.schemaname = schemas[node.relname]
        return _readable(sql.text_of, self.tree)


T = t.TypeVar("T")


def _readable(read: t.Callable[..., T], *args: t.Any) -> T:
    try:
        return read(*args)
    except sql.UnreadableSqlError as error:
        raise UnplannableError(str(error)) from error


def question_from(query: str) -> Question:
    """What may be asked about a statement. Raises UnplannableError with the reason why nothing may."""
    found = _readable(sql.statements, query)
    if len(found) != 1:
        raise UnplannableError("it is more than one statement" if found else "there is no statement in it")
    tree = _as_select(found[0])
    every = list(sql.nodes(tree))
    strange = sorted({sql.kind(node) for node in every} - KNOWN_NODES)
    if strange:
        raise UnplannableError(f"it uses {', '.join(strange)}, which is not planned")
    _refuse_hidden_calls(every)
    _refuse_growth(every)
    return Question(tree, _names(every), any(sql.kind(node) == "ParamRef" for node in every))


def _as_select(statement: t.Any) -> t.Any:
    """A SELECT that reads what the statement reads: an UPDATE or DELETE finds its rows as a SELECT does."""
    kind = sql.kind(statement)
    if kind == "DeclareCursorStmt":
        return _as_select(statement.query)
    if kind == "InsertStmt":
        if statement.selectStmt is None or statement.selectStmt.valuesLists or statement.withClause:
            raise UnplannableError("it reads no table")
        return _as_select(statement.selectStmt)
    if kind in ("UpdateStmt", "DeleteStmt"):
        others = statement.fromClause if kind == "UpdateStmt" else statement.usingClause
        tree = sql.statements("SELECT 1")[0]
        tree.fromClause = (statement.relation, *(others or ()))
        tree.whereClause, tree.withClause = statement.whereClause, statement.withClause
        return _as_select(tree)
    if kind != "SelectStmt":
        raise UnplannableError("it is not a statement on rows")
    for node in sql.nodes(statement):
        if sql.kind(node) == "SelectStmt":
            if node.intoClause is not None:
                raise UnplannableError("it makes a table")
            # A role that may only SELECT may not lock rows; how they are found does not depend on it.
            node.lockingClause = None
    return statement


def _refuse_hidden_calls(every: t.Sequence[t.Any]) -> None:
    """What would call a function or resolve a type without naming it in a way that can be looked up."""
    for node in every:
        kind = sql.kind(node)
        if kind == "A_Indirection" and any(sql.kind(step) != "A_Indices" for step in node.indirection):
            raise UnplannableError("it takes a field of a composite value, which may call a function")
        if kind == "TypeName" and (node.pct_type or node.setof):
            raise UnplannableError("it refers to a type by a column")
        if kind == "RangeVar" and node.catalogname:
            raise UnplannableError("it names a database")


# What makes more out of less. Of constants that is computed while the statement is planned, and could be made without end.
GROWS = frozenset((
    "repeat", "lpad", "rpad", "replace", "regexp_replace", "format", "concat", "concat_ws", "overlay", "array_fill", "array_cat",
    "array_append", "array_prepend", "to_char", "string_to_array", "translate", "btrim", "textcat", "byteacat", "array_to_string",
))  # fmt: skip
LONGEST_PAD = 10000


def _refuse_growth(every: t.Sequence[t.Any]) -> None:
    """Raises UnplannableError where a constant could be made to grow: by a call on constants alone, by what is taken from a
    subquery that reads no table, or by the width of a type."""
    calls = [node for node in _of(every, "FuncCall") if _name(node.funcname)[1] in GROWS]
    joins = [node for node in _of(every, "A_Expr") if _name(node.name)[1] == "||"]
    constant = any(not any(sql.kind(one) == "ColumnRef" for one in sql.nodes(node)) for node in calls)
    selects = [node for node in _of(every, "SelectStmt") if node.op.name == "SETOP_NONE"]
    tableless = any(not any(sql.kind(one) == "RangeVar" for one in sql.nodes(node.fromClause or ())) for node in selects)
    if constant or (tableless and (calls or joins)):
        raise UnplannableError("it makes a text out of constants, which planning would compute")
    wide = [one for node in _of(every, "TypeName") for one in node.typmods or () if sql.kind(one) != "A_Const"
            or sql.kind(one.val) != "Integer" or one.val.ival > LONGEST_PAD]  # fmt: skip
    if wide:
        raise UnplannableError(f"it names a type of more than {LONGEST_PAD} characters")


def _name(parts: t.Sequence[t.Any]) -> tuple[str | None, str]:
    """(schema, name) of a name that may have more parts than that; those are refused by the lookup."""
    texts = [part.sval for part in parts]
    return (".".join(texts[:-1]) or None, texts[-1])


def _of(every: t.Sequence[t.Any], kind: str) -> list[t.Any]:
    return [node for node in every if sql.kind(node) == kind]


def _distinct(found: t.Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(found))


def _names(every: t.Sequence[t.Any]) -> Names:
    operators = [node.name for node in _of(every, "A_Expr")]
    operators += [node.operName for node in _of(every, "SubLink") if node.operName]
    operators += [node.useOp for node in _of(every, "SortBy") if node.useOp]
    named = {*(_name(name) for name in operators), *((None, name) for name in UNNAMED_OPERATORS)}
    last = [node.fields[-1] for node in _of(every, "ColumnRef") if len(node.fields) > 1]
    return Names(
        functions=_distinct(_name(node.funcname) for node in _of(every, "FuncCall")),
        attributes=_distinct(field.sval for field in last if sql.kind(field) == "String"),
        types=_distinct(_name(node.names) for node in _of(every, "TypeName")),
        operators=tuple(sorted(named, key=str)),
        tables=_distinct((node.schemaname, node.relname) for node in _of(every, "RangeVar")),
        queries=_distinct(node.ctename for node in _of(every, "CommonTableExpr")),
    )


# -- what a plan says --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A column that is compared by ``=``, and the type that it is cast to for that (None without a cast)."""

    column: str
    cast: str | None = None


@dataclasses.dataclass(frozen=True)
class Scan:
    """A table that is read from end to end.

    ``columns`` are compared with something that an index could be asked for, ``rows`` are expected to pass the filter.
    ``joined`` are the columns by which it is joined, ``joined_rows`` what the join is expected to give, and ``with_rows``
    what the other side has. ``others``: whether the filter has more conditions than those. ``unclear``: why the condition was
    not understood.
    """

    schema: str
    table: str
    columns: tuple[Comparison, ...]
    rows: float
    joined: tuple[Comparison, ...] = ()
    joined_rows: float | None = None
    with_rows: float | None = None
    unclear: str | None = None
    others: bool = False


@dataclasses.dataclass(frozen=True)
class _Join:
    condition: str | None
    rows: float
    with_rows: float


def scans(plan: Json) -> list[Scan]:
    """The sequential scans of a plan (the node ``Plan`` of EXPLAIN's JSON) that have a condition or are joined by one."""
    return list(_scans(plan, None))


def loops(plan: Json) -> list[Json]:
    """The tables on the outer side of nested loops, each with the rows that side is expected to have: whatever stands inside
    is done once for each of them, so a wrong estimate is paid there. ``schema``, ``table``, ``rows``."""
    found: list[Json] = []
    children = plan.get("Plans", [])
    if plan.get("Node Type") == "Nested Loop" and children:
        found += [{**table, "rows": children[0]["Plan Rows"]} for table in _tables(children[0])]
    return found + [table for child in children for table in loops(child)]


def _tables(node: Json) -> list[Json]:
    own = [{"schema": node["Schema"], "table": node["Relation Name"]}] if "Relation Name" in node and "Schema" in node else []
    return own + [table for child in node.get("Plans", []) for table in _tables(child)]


def _scans(node: Json, join: _Join | None) -> t.Iterator[Scan]:
    children = node.get("Plans", [])
    if node.get("Node Type") in SCANS and (node.get("Filter") or join):
        yield _scan(node, join)
    for child in children:
        inner = join
        if node.get("Node Type") in JOINS:
            rest = [other["Plan Rows"] for other in children if other is not child and "Plan Rows" in other]
            inner = _Join(node.get(JOINS[node["Node Type"]]), node["Plan Rows"], max(rest, default=0))
        elif "Subplan Name" in child:
            inner = None
        yield from _scans(child, inner)


def _scan(node: Json, join: _Join | None) -> Scan:
    alias = str(node.get("Alias") or node.get("Relation Name"))
    own, unclear, others = _comparisons(node.get("Filter"), alias)
    joined: tuple[Comparison, ...] = ()
    if join is not None:
        joined, of_join, _rest = _comparisons(join.condition, alias)
        unclear = unclear or (of_join if not own else None)
    return Scan(
        node["Schema"], node["Relation Name"], own, node["Plan Rows"], joined,
        join.rows if join else None, join.with_rows if join else None, unclear, others,
    )  # fmt: skip


def _comparisons(condition: str | None, alias: str) -> tuple[tuple[Comparison, ...], str | None, bool]:
    """The columns of one table that a condition compares by ``=``, why it was not understood, and whether there is more in it."""
    if not condition:
        return (), None, False
    try:
        parts = sql.conditions(sql.expression_of(condition))
    except sql.UnreadableSqlError:
        return (), "its condition could not be parsed", True
    if parts is None:
        return (), "its condition has an OR", True
    found = [_comparison(part, alias) for part in parts]
    return tuple(dict.fromkeys(one for one in found if one is not None)), None, None in found


def _comparison(part: t.Any, alias: str) -> Comparison | None:
    """One ``column = something`` or ``column = ANY (something)``, whichever side the column stands on."""
    if sql.kind(part) != "A_Expr" or part.kind.name not in ("AEXPR_OP", "AEXPR_OP_ANY") or _name(part.name)[1] != "=":
        return None
    for one, other in ((part.lexpr, part.rexpr), (part.rexpr, part.lexpr)):
        column = _column(one, alias)
        if column is not None and not any(_column(node, alias) for node in sql.nodes(other)):
            return column
    return None


def _column(node: t.Any, alias: str) -> Comparison | None:
    cast = None
    while sql.kind(node) == "TypeCast":
        cast, node = _name(node.typeName.names)[1], node.arg
    if sql.kind(node) != "ColumnRef" or any(sql.kind(field) != "String" for field in node.fields):
        return None
    fields = [field.sval for field in node.fields]
    return Comparison(fields[-1], cast) if fields[:-1] in ([], [alias]) else None
