"""Run statements in turn and write their answers: what the prompt and `-c` have in common."""

from typing import TextIO

import duckdb

from .interrupt import stoppable
from .reader import reading
from .render import Format, write_answer
from .walls import readable


def write_answers(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    out: TextIO,
    form: Format,
    *,
    row_limit: int,
    seconds: float | None,
) -> None:
    """Write the answer of each statement; of a table at most `row_limit` rows.

    Nothing runs unless every statement only reads. Ctrl-C stops the one that runs and raises
    `KeyboardInterrupt`.
    """
    with stoppable(connection):
        for statement in readable(connection, sql):
            with reading(
                connection,
                statement,
                rows=row_limit + 1 if form == "table" else None,
                seconds=seconds,
                as_json=form == "json",
            ) as answer:
                write_answer(answer, out, form, limit=row_limit)
            out.flush()
