"""What `manage.py archive` can do: one module per group of actions.

The command (`raw_store/management/commands/archive.py`) only lists them and calls the chosen one.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from ..archive import Archive
from ..errors import SegmentCorrupt
from ..progress import Progress

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where an action prints."""

    out: OutputWrapper
    err: OutputWrapper
    quiet: bool = False

    def say(self, text: str) -> None:
        self.out.write(text)

    def complain(self, text: str) -> None:
        self.err.write(text)

    def progress(self, label: str, total: int | None = None, *, unit: str = "payloads") -> Progress:
        """A progress display; shows nothing with `--verbosity 0` or without a terminal."""
        return Progress(label, total, unit=unit, quiet=self.quiet)

    def report_damaged(self, damaged: list[SegmentCorrupt]) -> None:
        """Name the segments that could not be read, and end with exit code 1 if there are any."""
        for error in damaged:
            self.complain(str(error))
        if damaged:
            raise CommandError(f"{len(damaged)} segments could not be read; see above.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action of the command: `manage.py archive NAME …`."""

    name: str
    summary: str
    examples: str = ""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    run: Callable[[Archive, Options, Terminal], None]
    """Errors below `ArchiveError` become the command's."""
