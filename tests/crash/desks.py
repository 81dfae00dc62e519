"""Writing versions of the sample source's desks, which its transform reads."""

import random
from dataclasses import replace
from typing import Any

from .seal import make_payload
from .work import Work, tell_in_parts

FEED = "sample.pages"
DESKS = 6


def write(work: Work, round_: int, segments: int, seed: int = 0) -> None:
    """Seal `segments` segments of desks; the last one shows every desk as it is in `round_`.

    Before it older rounds and recurring bodies are fetched, as histories have them.
    """
    from raw_store import segment_writer
    from raw_store.archive import Archive
    from raw_store.ids import new_id

    # Several row groups each, so that a segment is parsed in slices.
    segment_writer.SEALED = replace(segment_writer.SEALED, rows=2)

    work.move_in()
    archive = Archive()
    dice = random.Random(seed)
    fetched: list[str] = []
    for number in range(segments):
        is_last = number == segments - 1
        desks = list(range(DESKS)) if is_last else dice.sample(range(DESKS), 4)
        run_id = new_id()
        writer = archive.sync_writer(FEED)
        for sequence, desk in enumerate(desks):
            shown = round_ if is_last else dice.randint(max(0, round_ - 2), round_)
            payload: Any = make_payload(
                FEED, f"/desk/{desk}", shown, run_id=run_id, sequence=sequence
            )
            fetched.append(str(writer.append(payload).fetch_id))
        writer.seal(complete_runs=[str(run_id)])
    tell_in_parts(work, "acknowledged", fetched)
