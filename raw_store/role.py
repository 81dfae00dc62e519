"""What this process is for, where it is not for everything."""

from dataclasses import dataclass


@dataclass(slots=True)
class _Role:
    parses_only: bool = False
    """Whether it is a worker of a pool that parses payloads, said before it sets Django up."""


ROLE = _Role()
