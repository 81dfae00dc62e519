"""Revisits in WARC files of other programs: the fetch that holds the body each stands for.

A revisit names it by record id, by address and date, or only by the digest of its payload
(ISO 28500:2017, section 6.7); that is SHA-1 of the encoded bytes with most programs, so digests are
found among records read before, not among the archive's.
"""

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import pyarrow.compute as pc

from ..payload import Payload
from .arrivals import Arrivals, Recorded
from .warc_groups import Part
from .warc_records import Digest, parse_warc_date

_KEPT = 100_000


class Holder(NamedTuple):
    """The body that a revisit stands for."""

    payload_id: UUID
    body_digest: str | None
    body_size: int | None


class Holders:
    """Bodies that revisits may stand for: the last of those read so far, and archived ones."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._known: OrderedDict[tuple[str, ...], Holder | UUID] = OrderedDict()

    def learn(self, main: Part, recorded: Recorded, row: Payload) -> None:
        """Keep what an imported record holds for revisits of it."""
        if row.status == 304 or row.error or row.body_digest is None:
            return
        # A fetch that was archived before says nothing of where its body is: it is read when asked.
        holder = (
            Holder(row.payload_id, row.body_digest, row.body_size)
            if row.payload_id
            else row.fetch_id
        )
        payload_digest = Digest.parse(main.get("warc-payload-digest"))
        raw = payload_digest and payload_digest.raw()
        keys: list[tuple[str, ...]] = [
            ("id", main.id),
            ("at", main.uri, recorded.fetched_at.isoformat()),
        ]
        if payload_digest and raw:
            keys.append((payload_digest.algorithm, raw.hex()))
        for key in keys:
            self._known[key] = holder
            self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def find(self, revisit: Part) -> Holder | None:
        """What a revisit record refers to: by id, by address and date, or by digest."""
        uri = (revisit.get("warc-refers-to-target-uri") or "").strip("<> ")
        try:
            at = parse_warc_date(revisit.get("warc-refers-to-date") or "")
        except ValueError:
            at = None
        said = Digest.parse(revisit.get("warc-payload-digest"))
        raw = said and said.raw()
        keys: list[tuple[str, ...]] = [("id", (revisit.get("warc-refers-to") or "").strip("<> "))]
        if uri and at:
            keys.append(("at", uri, at.isoformat()))
        if said and raw:
            keys.append((said.algorithm, raw.hex()))
        for key in keys:
            holder = self._known.get(key)
            if holder is not None:
                return self._archived(holder) if isinstance(holder, UUID) else holder
        sha256 = raw.hex() if said and raw and said.algorithm == "sha256" else None
        return self._in_archive(uri, at, sha256)

    def _archived(self, fetch_id: UUID) -> Holder | None:
        row = self._arrivals.archive.read_many([fetch_id], bodies=False).get(fetch_id)
        if row is None or row.payload_id is None:
            return None
        return Holder(row.payload_id, row.body_digest, row.body_size)

    def _in_archive(self, uri: str, at: datetime | None, sha256: str | None) -> Holder | None:
        captures = self._arrivals.archive.captures(self._arrivals.feed.name, on_damaged=_ignore)
        held = captures.filter(pc.is_valid(captures["payload_id"]))
        found = held.slice(0, 0)
        if uri and at:
            found = held.filter(
                pc.and_(pc.equal(held["url"], uri), pc.equal(held["fetched_at"], at))
            )
        if not found.num_rows and sha256:
            found = held.filter(pc.equal(held["body_digest"], sha256))
        if not found.num_rows:
            return None
        (row,) = found.slice(0, 1).to_pylist()
        return Holder(UUID(row["payload_id"]), row["body_digest"], row["body_size"])


def _ignore(error: Exception) -> None:
    """A damaged segment was named when the import began; it resolves no revisit."""
