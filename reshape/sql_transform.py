"""A transform in SQL: one SELECT over `payloads`, known by its statement.

It stands where a transform's function stands. Called with a payload it yields that
payload's rows; a parse runs it over many payloads at once (`reshape.sql_parse`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from django.apps import apps

from raw_store.rows import SCHEMA

from .sql_columns import Conversion, conversion

if TYPE_CHECKING:
    from raw_store.payload import Payload

    from .models import Derived, Row
    from .registry import Transform

GIVEN_COLUMNS = [
    "fetch_id", "request_key", "run_id", "sequence", "feed", "method", "url", "request_body",
    "status", "reason", "headers", "fetched_at", "content_type", "body", "body_digest", "body_size",
]  # fmt: skip
"""The columns of the archive that `payloads` has; `text` and `json` are made of `body`."""
PAYLOADS = pa.schema(
    [
        *(SCHEMA.field(name) for name in GIVEN_COLUMNS),
        pa.field("text", pa.string()),
        pa.field("json", pa.json_(pa.string())),
    ]
)
MADE_OF_THE_BODY = ("text", "json")
OPTIONAL_COLUMNS = (
    "method", "request_body", "reason", "headers", "body_digest", "body_size", *MADE_OF_THE_BODY
)  # fmt: skip
"""What is not read, or not made, for a statement that does not name it."""


@dataclass(frozen=True, kw_only=True)
class Select:
    """The SELECT of a transform: the text that runs, and what is known of it before any data is."""

    path: str
    model_label: str
    statement: str
    """Normalised: without comments, in DuckDB's own spelling."""
    columns: tuple[tuple[str, str], ...]
    """Names and DuckDB types of what it returns, `fetch_id` included."""
    reads: frozenset[str]
    """Which of the columns of `payloads` it reads, of those that are not always there."""
    keeps_order: bool
    """Whether its plan gives a payload's rows in the payload's own order."""
    is_ordered: bool
    """Whether it ends in ORDER BY."""

    @property
    def code_digest(self) -> str:
        """The statement's identity: white space, comments and the file's place do not count."""
        return hashlib.sha256(f"sql\n{self.statement}".encode()).hexdigest()

    @property
    def archived(self) -> list[str]:
        """The columns of the archive that it needs."""
        unread = {*OPTIONAL_COLUMNS} - self.reads
        return [name for name in GIVEN_COLUMNS if name not in unread]

    @cached_property
    def model(self) -> "type[Derived]":
        """The model whose rows it gives."""
        found: Any = apps.get_model(self.model_label)
        return found  # type: ignore[no-any-return]

    @cached_property
    def conversions(self) -> tuple[Conversion, ...]:
        """How its columns become the model's, in the order of the model's fields."""
        return conversions_of(self.model, dict(self.columns))

    def __call__(self, payload: "Payload") -> "Iterator[Row]":
        """The rows of one payload. Raises `RowInvalid`, or DuckDB's own error."""
        from .sql_parse import rows_of

        return rows_of(self, payload)

    def __str__(self) -> str:
        return self.path

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name in _FIELDS}
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


_FIELDS = frozenset(Select.__dataclass_fields__)


def select_of(transform: "Transform") -> Select:
    """The SELECT of a transform in SQL."""
    assert isinstance(transform.function, Select)
    return transform.function


def is_sql(transform: "Transform") -> bool:
    """Whether the transform is a SELECT."""
    return isinstance(transform.function, Select)


def conversions_of(model: "type[Derived]", kinds: dict[str, str]) -> tuple[Conversion, ...]:
    """A conversion per column of `kinds` (name → DuckDB type). Raises `TypeRefused`."""
    from .columns import columns_of
    from .sql import quoted_name

    return tuple(
        conversion(column, kinds[column.name], f"said.{quoted_name(column.name)}")
        for column in columns_of(model).given
        if column.name in kinds
    )
