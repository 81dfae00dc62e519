"""Reading ahead: the next row groups, and the next segment, while this one is looked at."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from .page_reader import AT_ONCE, NotOnePage, WholePage, read_page

_BODIES_AT_ONCE = 2
"""Pages decompressed at the same time."""

_T = TypeVar("_T")


class ReadAhead:
    """Reads a file's row groups, the next ones while this one is looked at.

    Bodies are decompressed in threads while another reads the columns beside them.
    """

    def __init__(
        self,
        open_file: Callable[[], Any],
        chunks: Sequence[Any],
        read_group: Callable[[int, bool], pa.Table],
    ) -> None:
        """`chunks` are the row groups' column chunks of bodies, in their order; `read_group(group,
        bodies)` reads the columns of a row group, with or without bodies, in one thread."""
        self._open = open_file
        self._chunks = chunks
        self._read_group = read_group
        self._files: list[Any] = []
        """Open, and used by no thread."""
        self._bodies = ThreadPoolExecutor(_BODIES_AT_ONCE, "bodies")
        self._columns = ThreadPoolExecutor(1, "columns")
        self._begun: dict[int, tuple[Future[WholePage], Future[pa.Table]]] = {}

    def read(self, group: int) -> "tuple[pa.Table, WholePage | None]":
        """A row group's columns, and its page of bodies; with the bodies among the columns where
        they are not one page. The next ones are begun, up to `AT_ONCE` bytes of them."""
        self._begin(group)
        page, columns = self._begun.pop(group)
        size = 0
        for following in range(group + 1, min(group + 1 + _BODIES_AT_ONCE, len(self._chunks))):
            size += self._chunks[following].total_uncompressed_size
            if size > AT_ONCE:
                break
            self._begin(following)
        try:
            return columns.result(), page.result()
        except NotOnePage:
            return self._columns.submit(self._read_group, group, True).result(), None

    def close(self) -> None:
        """Stop reading."""
        self._columns.shutdown(cancel_futures=True)
        self._bodies.shutdown(cancel_futures=True)
        for file in self._files:
            file.close()

    def _begin(self, group: int) -> None:
        if group not in self._begun:
            self._begun[group] = (
                self._bodies.submit(self._read_page, group),
                self._columns.submit(self._read_group, group, False),
            )

    def _read_page(self, group: int) -> WholePage:
        try:
            file = self._files.pop()
        except IndexError:
            file = self._open()
        try:
            return read_page(file, self._chunks[group])
        finally:
            self._files.append(file)


def begun_ahead(sized: Iterable[tuple[int, Iterator[_T]]]) -> Iterator[Iterator[_T]]:
    """Each of the iterators in its turn; the next one is begun in a thread while one is used.

    With each comes the number of bytes it will read: one of more than `AT_ONCE` is not begun
    early. What an iterator raises at its beginning, the one given in its place raises.
    """
    waiting = iter(sized)
    begun: list[Iterator[_T]] = []
    with ThreadPoolExecutor(1, "segments") as thread:
        try:
            _, current = next(waiting, (0, None))
            first = None
            while current is not None:
                begun = [current]
                size, following = next(waiting, (0, None))
                following_first = None
                if following is not None and size <= AT_ONCE:
                    begun.append(following)
                    following_first = thread.submit(_first, following)
                yield _continued(current, first)
                current, first = following, following_first
        finally:
            thread.shutdown(cancel_futures=True)
            for iterator in begun:
                _close(iterator)


def _first(iterator: Iterator[_T]) -> list[_T]:
    return list(islice(iterator, 1))


def _continued(iterator: Iterator[_T], first: "Future[list[_T]] | None") -> Iterator[_T]:
    if first:
        yield from first.result()
    yield from iterator


def _close(iterator: Iterator[_T]) -> None:
    if isinstance(iterator, Generator):
        iterator.close()
