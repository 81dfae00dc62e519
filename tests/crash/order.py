"""Jobs that tell in which order they did what is durable."""

from typing import Any

from . import faults
from .work import Work


def record(work: Work, operation: str, **arguments: Any) -> None:
    """Do an operation without fault, and tell each step it took, some at a time."""
    work.move_in()
    steps = work.watch()
    faults.OPERATIONS[operation](**arguments)
    for start in range(0, len(steps.taken), 8):
        work.tell(taken=steps.taken[start : start + 8])
