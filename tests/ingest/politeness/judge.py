"""The judge of a simulation: it knows the rules and what was sent when, and nothing of the program.

It is told by the simulated hosts, which see every request begin and end, and by the simulated
processes when they have made a pause known. It counts what breaks a rule.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

_ROUNDING = 2e-6
"""Seconds; the database keeps microseconds."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a host allows."""

    concurrency: int
    gap: float = 0.0
    """Seconds between the beginnings of two requests."""


@dataclass
class _Pause:
    until: float
    told_to: int
    told_at: float
    known_at: float | None = None


@dataclass
class Judge:
    """Counts requests and violations; `news` are the seconds in which processes learn of a pause
    that another one was told of."""

    rules: dict[str, Rules]
    news: float
    sent: int = 0
    pauses: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    _under_way: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _last: dict[str, float] = field(default_factory=dict)
    _pauses: dict[str, list[_Pause]] = field(default_factory=lambda: defaultdict(list))
    _began: dict[int, float] = field(default_factory=dict)

    def begins(self, process: int, at: float) -> None:
        """A process starts."""
        self._began[process] = at

    def dies(self, process: int) -> None:
        """A process is gone, and its connections with it."""
        for under_way in self._under_way.values():
            under_way.pop(process, None)
        # Nobody was told of what only it knew.
        for pauses in self._pauses.values():
            pauses[:] = [
                each for each in pauses if each.told_to != process or each.known_at is not None
            ]

    def request(self, host: str, process: int, at: float) -> None:
        """A request arrives."""
        self.sent += 1
        rules = self.rules[host]
        self._under_way[host][process] += 1
        at_once = self._under_way[host].total()
        if at_once > rules.concurrency:
            self._violated("concurrency", f"{host}: {at_once} at once at {at}")
        last = self._last.get(host)
        if last is not None and at - last < rules.gap - _ROUNDING:
            self._violated("rate", f"{host}: {at - last:.6f} s apart, not {rules.gap}, at {at}")
        self._last[host] = at
        for pause in self._pauses[host]:
            if at < pause.until - _ROUNDING and self._knows(pause, process, at):
                self._violated("pause", f"{host}: {process} at {at} despite {pause}")
        self._pauses[host] = [each for each in self._pauses[host] if each.until > at]

    def answer(self, host: str, process: int, at: float, *, pause: float = 0.0) -> object:
        """A request is answered; with a pause, what to give `is_known` later."""
        self._under_way[host][process] -= 1
        if not pause:
            return None
        self.pauses += 1
        told = _Pause(until=at + pause, told_to=process, told_at=at)
        self._pauses[host].append(told)
        return told

    def is_known(self, told: object, at: float) -> None:
        """A process has made a pause known to the others."""
        if isinstance(told, _Pause):
            told.known_at = at

    def _knows(self, pause: _Pause, process: int, at: float) -> bool:
        if pause.told_to == process:
            return True
        if pause.known_at is None:
            return False
        is_newer = self._began[process] >= pause.known_at
        return is_newer or at >= pause.known_at + self.news

    def _violated(self, rule: str, how: str) -> None:
        self.violations[rule] += 1
        if len(self.examples) < 10:
            self.examples.append(how)
