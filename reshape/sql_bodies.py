"""The columns of `payloads` that are made of the body: `text` and `json`.

What is plainly UTF-8, and plainly JSON, is taken as it is. About any other body the payload
itself is asked (`Payload.text`, `Payload.json()`), so that a transform in SQL reads what one in
Python would, and what neither can read is quarantined for the same reason.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from raw_store.parsing.charsets import labelled
from raw_store.parsing.prescan import PRESCAN_BYTES
from raw_store.payload import Payload
from raw_store.rows import to_payloads

from .records import Reason
from .sql_transform import MADE_OF_THE_BODY, PAYLOADS, Select

if TYPE_CHECKING:
    from .registry import Transform

_JSON = PAYLOADS.field("json").type
_PIECES = 32
_MARK = b"\xef\xbb\xbf"
Problems = dict[int, Reason]
"""Row → why the payload cannot be read."""


def prepare(
    connection: duckdb.DuckDBPyConnection, transform: "Transform", select: Select, batch: pa.Table
) -> tuple[pa.Table, Problems]:
    """The batch with `text` and `json`, without the rows that cannot be read; and those."""
    problems: Problems = {}
    utf8 = _utf8(batch["body"]) if select.reads else None
    columns: dict[str, pa.Array] = {}
    if "text" in select.reads:
        odd = _oddly_encoded(batch, utf8)
        columns["text"] = _mended(transform, batch, utf8, odd, lambda each: each.text, problems)
    if "json" in select.reads:
        odd = _not_json(connection, utf8)
        columns["json"] = _mended(transform, batch, utf8, odd, _json_text, problems)
    for name in MADE_OF_THE_BODY:
        batch = batch.append_column(name, columns.get(name, pa.nulls(batch.num_rows, pa.string())))
    if problems:
        is_kept = [row not in problems for row in range(batch.num_rows)]
        batch = batch.filter(pa.array(is_kept))
    return _as_json(batch), dict(sorted(problems.items()))


def _as_json(batch: pa.Table) -> pa.Table:
    """The batch with its column `json` of DuckDB's type JSON; the texts are known to be JSON."""
    place = batch.column_names.index("json")
    chunks = [pa.ExtensionArray.from_storage(_JSON, each) for each in batch["json"].chunks]
    field = PAYLOADS.field("json")
    return batch.set_column(place, field, pa.chunked_array(chunks, _JSON))


def in_pieces(table: pa.Table) -> pa.Table:
    """The same rows in as many pieces as give every thread of DuckDB's a share: it takes whole
    pieces."""
    rows = max(1, -(-table.num_rows // _PIECES))
    return pa.Table.from_batches(table.combine_chunks().to_batches(rows), table.schema)


def _utf8(bodies: pa.ChunkedArray) -> pa.Array:
    """The bodies as text; null where one is not UTF-8."""
    whole = bodies.combine_chunks()
    try:
        return whole.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(body) for body in whole.to_pylist()], pa.string())


def _decoded(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None


def _oddly_encoded(batch: pa.Table, utf8: pa.Array) -> list[int]:
    """The rows whose text is not simply their body as UTF-8."""
    named = pc.match_substring_regex(batch["content_type"], "charset", ignore_case=True)
    plain = pc.match_substring_regex(
        batch["content_type"], r"charset\s*=\s*[\"']?utf-?8[\"']?\s*(;|$)", ignore_case=True
    )
    is_other = pc.and_not(named.fill_null(False), plain.fill_null(False))
    is_marked = pc.starts_with(batch["body"], _MARK).fill_null(False)
    is_odd = pc.or_(pc.or_(is_other, is_marked), utf8.is_null())
    # What markup declares of itself counts where no header says what it is.
    heads = pc.binary_slice(batch["body"].combine_chunks(), 0, PRESCAN_BYTES)
    is_markup = pc.match_substring_regex(heads, r"^\s*\x00?<").fill_null(False)
    named = pc.match_substring_regex(batch["content_type"], "html|xml", ignore_case=True)
    may_declare = pc.and_not(pc.or_(is_markup, named.fill_null(False)), plain.fill_null(False))
    rows = set(pc.indices_nonzero(is_odd).to_pylist())
    for row in pc.indices_nonzero(may_declare).to_pylist():
        head, kind = heads[row].as_py(), batch["content_type"][row].as_py()
        if head and next(labelled(head, kind), "utf-8") != "utf-8":
            rows.add(row)
    return sorted(rows)


def _not_json(connection: duckdb.DuckDBPyConnection, utf8: pa.Array) -> list[int]:
    places = pc.cumulative_sum(pa.repeat(pa.scalar(1), len(utf8)))
    connection.register("bodies", in_pieces(pa.table({"place": places, "body": utf8})))
    try:
        found = connection.execute(
            "SELECT place - 1 FROM bodies WHERE NOT coalesce(json_valid(body), false) ORDER BY 1"
        ).fetchall()
    finally:
        connection.unregister("bodies")
    return [row for (row,) in found]


def _mended(
    transform: "Transform",
    batch: pa.Table,
    utf8: pa.Array,
    odd: Collection[int],
    read: Callable[[Payload], str],
    problems: Problems,
) -> pa.Array:
    """`utf8` with what the payload itself says in the odd rows; rows without are `problems`."""
    said: list[str | None] = []
    for row in odd:
        payload = to_payloads(batch.slice(row, 1))[0]
        text = None
        try:
            text = read(payload)
        except Exception as error:
            # Whatever a body trips a reader over is a fact about this payload alone.
            kind = type(error).__name__
            message = f"Feed {transform.feed}: {transform.name}: {kind}: {error}"
            problems.setdefault(row, Reason(kind, message))
        said.append(text)
    if not odd:
        return utf8
    is_odd = pc.is_in(
        pc.cumulative_sum(pa.repeat(pa.scalar(1), len(utf8))),
        pa.array([row + 1 for row in odd], pa.int64()),
    )
    return pc.replace_with_mask(utf8, is_odd, pa.array(said, pa.string()))


def _json_text(payload: Payload) -> str:
    value: Any = payload.json()
    return orjson.dumps(value).decode()
