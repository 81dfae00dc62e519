"""A process that works for long: what the interpreter is told once it has set itself up."""

import sys

from .cycles import look_rarely

_SWITCH_SECONDS = 0.001


def settle_in() -> None:
    """Look for reference cycles rarely, and let a thread that computes give way sooner.

    While pages are fetched, others become columns and rows of the index in threads. The event loop
    had to wait 5 ms for each of them (the interpreter's own choice), several times in a row: with
    1 ms a timer is 9 ms late in place of 14 (99th percentile), and nothing becomes slower.
    """
    look_rarely()
    sys.setswitchinterval(_SWITCH_SECONDS)
