"""Progress of long work: what is done, how fast, how long still.

On a terminal one line is rewritten; elsewhere a line is written every ten seconds.
"""

import sys
import time
from types import TracebackType
from typing import Self, TextIO


class Progress:
    """Counts `unit`s and says so on standard error, at most ten times a second."""

    def __init__(
        self,
        label: str,
        total: int | None = None,
        *,
        unit: str = "payloads",
        out: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.count = 0
        self._out = sys.stderr if out is None else out
        self._quiet = quiet
        self._on_terminal = self._out.isatty()
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._on_terminal and not self._quiet:
            # The first units may take long: a segment counts as soon as all of it is done.
            self._show(end="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._on_terminal and not self._quiet:
            self._show(end="\n")

    def advance(self, count: int = 1) -> None:
        """Count `count` more units as done."""
        self.count += count
        now = time.monotonic()
        if now - self._shown >= (0.1 if self._on_terminal else 10.0) and not self._quiet:
            self._shown = now
            self._show(end="" if self._on_terminal else "\n")

    def _show(self, end: str) -> None:
        start = "\r\x1b[K" if self._on_terminal else ""
        self._out.write(f"{start}{self}{end}")
        self._out.flush()

    def __str__(self) -> str:
        if not self.count:
            of_all = "" if self.total is None else f" of {self.total:,}"
            return f"{self.label}: 0{of_all} {self.unit}"
        elapsed = max(time.monotonic() - self._started, 1e-6)
        rate = self.count / elapsed
        if self.total is None:
            return f"{self.label}: {self.count:,} {self.unit}, {_rate(rate)}"
        left = (self.total - self.count) / rate
        share = 100 * self.count // self.total if self.total else 100
        return (
            f"{self.label}: {self.count:,} of {self.total:,} {self.unit} ({share}%), "
            f"{_rate(rate)}, {_duration(left)} left"
        )


def _rate(units: float) -> str:
    """`1,234/s`, or `0.25/s`."""
    return f"{units:,.0f}/s" if units >= 10 else f"{units:.2g}/s"


def _duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
