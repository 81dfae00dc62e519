"""What servers say of their limits: `RateLimit` fields (the IETF's draft) and `X-RateLimit-*`.

RateLimit-Policy: "burst";q=100;w=60          so much in so many seconds
RateLimit: "burst";r=12;t=30                  what is left, and for how long
RateLimit-Limit / -Remaining / -Reset         the draft's earlier form: seconds
X-RateLimit-*, X-Rate-Limit-*                 the reset in seconds, or as an epoch time
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MEMBER = re.compile(
    r"""(?:"[^"]*"|[^,;"]+)(?:\s*;\s*[a-z*][a-z0-9_.*-]*(?:=(?:"[^"]*"|[^,;]*))?)*"""
)
_PARAMETER = re.compile(r';\s*([a-z*][a-z0-9_.*-]*)=\s*("[^"]*"|[^,;\s]*)')
# Resets above this are moments and no durations: seconds since 1970, or thousandths of them.
_EPOCH = 1e9
_EPOCH_MS = 1e12
_LONGEST = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a server still grants."""

    remaining: float | None = None
    """Requests left until the reset; None where only a policy is told."""
    seconds: float
    """Until the reset; of a policy, the length of its window."""
    limit: float | None = None
    """Requests in a whole window."""

    def pause(self) -> float:
        """Seconds in which nothing may be sent."""
        return self.seconds if self.remaining is not None and self.remaining < 1 else 0.0

    def rate(self, concurrency: int) -> float | None:
        """Requests a second that the rest lasts for; None while there is plenty.

        Requests under way, up to `concurrency`, may not be counted yet.
        """
        if self.seconds <= 0:
            return None
        if self.remaining is None:
            return None if self.limit is None else self.limit / self.seconds
        plenty = max(4.0 * concurrency, (self.limit or 0) / 5)
        if self.remaining > plenty:
            return None
        return max(self.remaining - concurrency, self.remaining / 2, 0.5) / self.seconds


def tells_of_quotas(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether one of the headers tells of limits."""
    names = " ".join([name for name, _ in headers]).lower()
    return "ratelimit" in names or "rate-limit" in names


def quotas_told(headers: Mapping[str, str], now: float) -> list[Quota]:
    """The quotas a response tells of; `now` is in seconds since 1970. Names are in lower case.

    What cannot be read tells nothing.
    """
    found: list[Quota] = []
    limits = dict(_policies(headers.get("ratelimit-policy", "")))
    lefts = dict(_parameters(headers.get("ratelimit", "")))
    for name, left in lefts.items():
        remaining, seconds = left.get("r"), left.get("t")
        policy = limits.get(name)
        if seconds is None and policy:
            seconds = policy[1]
        if remaining is not None and seconds is not None and seconds <= _LONGEST:
            quota = Quota(remaining=remaining, seconds=seconds, limit=policy[0] if policy else None)
            found.append(quota)
    told = set(lefts)
    for name, (amount, window) in limits.items():
        if name not in told and window <= _LONGEST:
            found.append(Quota(limit=amount, seconds=window))
    for prefix in ("ratelimit-", "x-ratelimit-", "x-rate-limit-"):
        remaining = _number(headers.get(f"{prefix}remaining", ""))
        reset = _number(headers.get(f"{prefix}reset", ""))
        if remaining is None or reset is None:
            continue
        seconds = _seconds(reset, now)
        if seconds <= _LONGEST:
            limit = _number(headers.get(f"{prefix}limit", ""))
            found.append(Quota(remaining=remaining, seconds=seconds, limit=limit))
    return found


def _policies(value: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Name, amount and window of each policy that counts requests."""
    for name, given in _parameters(value):
        amount, window = given.get("q"), given.get("w")
        if amount and window:
            yield name, (amount, window)


def _parameters(value: str) -> Iterator[tuple[str, dict[str, float]]]:
    for member in _MEMBER.findall(value):
        name = member.partition(";")[0].strip().strip('"')
        given: dict[str, float] = {}
        counts_requests = True
        for key, text in _PARAMETER.findall(member):
            if key == "qu":
                counts_requests = text.strip('"') == "requests"
            elif (number := _number(text)) is not None:
                given[key] = number
        if name and counts_requests:
            yield name, given


def _number(text: str) -> float | None:
    """The first number of a field such as `100` or `100, 100;w=60`."""
    match = _NUMBER.match(text.strip().strip('"'))
    if match is None:
        return None
    number = float(match[0])
    return number if math.isfinite(number) else None


def _seconds(reset: float, now: float) -> float:
    if reset >= _EPOCH_MS:
        return max(0.0, reset / 1000 - now)
    return max(0.0, reset - now) if reset >= _EPOCH else reset
