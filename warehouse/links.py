"""Links: the columns of a rollup whose values are a model's key.

A header says so (`-- link: place -> Station`), or it follows from the SELECT: a column that
is passed on as it is, from a model's key, a foreign key, or a linked column of another rollup.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from raw_store.errors import closest_first

from .columns import duckdb_type, stored_type
from .errors import HeaderInvalid
from .statement import Node, nodes, output_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model that columns may lead to, and which of its own columns lead where."""

    label: str
    """As `quakes.Station`."""
    table: str
    key: str | None
    """The column of its primary key; null where that is of several columns."""
    kind: str
    """The key's type in DuckDB."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Columns that are foreign keys, each with the label of its target."""


def targets_of(found: Iterable[type[models.Model]]) -> list[Target]:
    """What rollups may link to among these models."""
    targets = []
    for model in found:
        meta = model._meta
        single = meta.pk if meta.pk is not None and meta.pk.column else None
        targets.append(
            Target(
                label=meta.label,
                table=meta.db_table,
                key=str(single.column) if single else None,
                kind=duckdb_type(single) if single else "",
                references={
                    str(each.column): each.related_model._meta.label
                    for each in meta.concrete_fields
                    if isinstance(each, models.ForeignKey) and each.target_field.primary_key
                },
            )
        )
    return targets


class Links:
    """Finds the links of rollups, one after another, each after those it reads."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = {target.label: target for target in targets}
        self._of_table: dict[str, dict[str, str]] = {}
        for target in self._targets.values():
            own = {target.key: target.label} if target.key else {}
            # A key that is itself a foreign key, as of one-to-one parts, is its row's own.
            self._of_table[target.table] = dict(target.references) | own

    def find(
        self,
        rollup: str,
        root: Node,
        columns: Mapping[str, str],
        inputs: Mapping[str, Iterable[str]],
        declared: Mapping[str, str],
    ) -> dict[str, str]:
        """The linked columns of a rollup, each with the label of its model.

        `columns` are the rollup's with their DuckDB types, `inputs` the columns of the tables
        it reads, `declared` what its headers say. Raises `HeaderInvalid`.
        """
        found: dict[str, str] = {}
        for name, kind in columns.items():
            label = (
                self._declared(name, kind, declared[name])
                if name in declared
                else self._derived(name, root, inputs)
            )
            if label and self._fits(label, kind):
                found[name] = label
        for name in declared.keys() - columns.keys():
            near = ", ".join(closest_first(name, columns))
            raise HeaderInvalid(
                f"it links the column {name}, which it does not have. Columns: {near}"
            )
        self._of_table[rollup] = found
        return found

    def _fits(self, label: str, kind: str) -> bool:
        target = self._targets.get(label)
        return (
            target is not None
            and target.key is not None
            and stored_type(kind) == stored_type(target.kind)
        )

    def _declared(self, name: str, kind: str, written: str) -> str:
        labels = [
            label
            for label in self._targets
            if written.lower() in (label.lower(), label.rpartition(".")[2].lower())
        ]
        if len(labels) != 1:
            near = ", ".join(closest_first(written, labels or self._targets)[:5]) or "none"
            which = "several models" if labels else "no model of a source"
            raise HeaderInvalid(f"it links {name} to {written}, which is {which}. Models: {near}")
        target = self._targets[labels[0]]
        if target.key is None:
            raise HeaderInvalid(
                f"it links {name} to {target.label}, whose key has several columns; "
                "a link is one column"
            )
        if not self._fits(target.label, kind):
            raise HeaderInvalid(
                f"it links {name} ({kind}) to {target.label}, whose key {target.key} is "
                f"{target.kind}; cast the column to that"
            )
        return target.label

    def _derived(self, name: str, root: Node, inputs: Mapping[str, Iterable[str]]) -> str | None:
        """Where a column leads that is passed on as it is; null where that is not certain."""
        lowered = {table.lower(): table for table in inputs}
        aliases = _aliases(root, lowered)
        leads: set[str | None] = set()
        for qualifier, column in _origins(name, root):
            tables = aliases.get(qualifier, set()) if qualifier else set(inputs)
            if qualifier and not tables:
                # The name of a WITH query or of a subquery: any table may lie behind it.
                tables = set(inputs)
            leads |= {
                self._of_table.get(table, {}).get(column)
                for table in tables
                if column in inputs[table]
            }
        return leads.pop() if len(leads) == 1 else None


def _origins(name: str, root: Node) -> set[tuple[str, str]]:
    """The columns that an output column is, each with the name of a table before it, or "".

    Empty where it is computed anywhere on its way.
    """
    if any(node.get("type") == "SET_OPERATION_NODE" for node in nodes(root)):
        # What UNION puts together goes by position, not by name.
        return set()
    items = [item for node in nodes(root) for item in node.get("select_list") or ()]
    wanted, done, origins = {name}, set[str](), set[tuple[str, str]]()
    while wanted:
        column = wanted.pop()
        done.add(column)
        givers = [item for item in items if output_name(item) == column]
        for item in givers:
            if item.get("class") != "COLUMN_REF":
                return set()
            path = item["column_names"]
            origins.add((path[-2].lower() if len(path) > 1 else "", path[-1]))
            wanted |= {path[-1]} - done
        if not givers and column == name:
            # By way of a star.
            origins.add(("", column))
    return origins


def _aliases(root: Node, tables: Mapping[str, str]) -> dict[str, set[str]]:
    """What the statement calls the tables that it reads."""
    found: dict[str, set[str]] = {}
    for node in nodes(root):
        if node.get("type") == "BASE_TABLE" and node["table_name"].lower() in tables:
            alias: Any = node.get("alias") or node["table_name"]
            found.setdefault(alias.lower(), set()).add(tables[node["table_name"].lower()])
    return found
