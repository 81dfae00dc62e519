"""How late a timer of 10 ms is: what everything else in the event loop has to wait for."""

import asyncio
import time

INTERVAL = 0.01


async def measure(late: list[float]) -> None:
    """Add to `late`, until cancelled, how many seconds each tick came late."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(INTERVAL)
        late.append(time.perf_counter() - begun - INTERVAL)


def summary(late: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in milliseconds."""
    ordered = sorted(late) or [0.0]
    at = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "worst": len(ordered) - 1}
    return {f"late_ms_{name}": round(ordered[place] * 1000, 1) for name, place in at.items()}


async def idle(seconds: float) -> dict[str, float]:
    """The lateness where nothing else is done: what the machine itself adds."""
    late: list[float] = []
    ticking = asyncio.create_task(measure(late))
    await asyncio.sleep(seconds)
    ticking.cancel()
    return summary(late)
