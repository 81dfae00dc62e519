"""Working ahead: the next thing is made in a thread while this one is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(given: Iterator[T]) -> Generator[T, None, None]:
    """The same, in the same order. Whatever making one raises is raised where it is due."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, given, None)
        while (made := coming.result()) is not None:
            coming = thread.submit(next, given, None)
            yield made
