"""Sealing: a `SyncWriter` seals again and again, and tells of each seal that returned."""

import random
from datetime import UTC, datetime
from typing import Any

from . import harness
from .bodies import ORIGIN, body_of
from .work import Work

FEED = "orchard.pages"
SEALS = 4


class Seal(harness.Stage):
    name = "seal"
    longest_s = 0.03

    def job(self) -> tuple[str, dict[str, Any]]:
        arguments = {"seed": self.dice.randrange(1 << 32), "seals": SEALS}
        return "seal:seal", arguments


def seal(work: Work, seed: int, seals: int) -> None:
    """Seal some segments of pages, revisits and new versions of the same addresses."""
    from raw_store.archive import Archive

    work.move_in()
    steps = work.watch()
    dice = random.Random(seed)
    writer = Archive().sync_writer(FEED)
    work.tell(started=True)
    for _ in range(seals):
        rows = [writer.append(payload) for payload in make_payloads(dice, FEED)]
        writer.seal()
        work.tell(acknowledged=[str(row.fetch_id) for row in rows])
    work.tell(steps=steps.counts)


def make_payloads(dice: random.Random, feed: str) -> list[Any]:
    """Up to twenty responses of one run."""
    from raw_store.ids import new_id

    run_id, round_ = new_id(), dice.randrange(3)
    paths = [
        f"/{dice.choice(['page', 'tree'])}/{dice.randrange(40)}" for _ in range(dice.randint(3, 20))
    ]
    if dice.random() < 0.3:
        paths.append(f"/large/{dice.randrange(5)}")
    return [
        make_payload(feed, path, round_, run_id=run_id, sequence=sequence)
        for sequence, path in enumerate(paths)
    ]


def make_payload(feed: str, path: str, round_: int, **more: Any) -> Any:
    """The response of an address in a round, fetched now; large ones as spools."""
    from raw_store.ids import new_id
    from raw_store.payload import Payload, request_key
    from raw_store.spool import Spool

    body, url = body_of(path, round_), f"{ORIGIN}{path}"
    is_large = path.startswith("/large")
    return Payload(
        fetch_id=new_id(),
        feed=feed,
        url=url,
        request_key=request_key("GET", url),
        status=200,
        headers=(("X-Round", str(round_)),),
        fetched_at=datetime.now(UTC),
        content_type="application/json" if path.startswith("/desk") else None,
        body=None if is_large else body,
        spooled_body=Spool.of([body]) if is_large else None,
        **more,
    )
