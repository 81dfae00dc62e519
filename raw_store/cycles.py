"""Reference cycles: how often a process that works for long looks for them."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS_PER_COLLECTION = 50_000


def look_rarely() -> None:
    """Take what is loaded to stay, and look for cycles rarely: in a process that has set itself up.

    Else each full round goes through all of Django, and a round begins each time that a few hundred
    objects are made, which rows and pages are by the thousand, without a cycle. Measured: a third
    of what an answer of 5,000 rows costs, and a third of the longest waits of the event loop while
    pages are fetched.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_PER_COLLECTION, 20, 20)
    # At its end DuckDB reports whatever of it stayed, in fifty lines, as leaks.
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles rarely while this block runs: rows are many objects and hold none.

    Looking would take a third of the time of a parse.
    """
    young, *older = gc.get_threshold()
    if not 0 < young < _OBJECTS_PER_COLLECTION:
        yield
        return
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)
