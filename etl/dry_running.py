"""`extract --dry-run`: what extractors would ask for, told without asking."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from ingest.answers import Answers, ArchiveAnswers, CassetteAnswers, NoAnswers
from ingest.display import as_size
from ingest.dry_run import DryRun, Told, dry_run, watermarks_of
from ingest.errors import ExtractorFailed, IngestError
from ingest.registry import Extractor
from ingest.runs import describe
from raw_store.archive import Archive

from .telling import many


def tell_requests(
    chosen: Iterable[Extractor],
    say: Callable[[str], None],
    *,
    cassette: Path | None,
    from_archive: bool,
) -> list[str]:
    """Say what each extractor would request; return the feeds whose extractor failed.

    Raises `ExtractorFailed` and `CassetteInvalid` where the answers cannot be those meant.
    """
    extractors = list(chosen)
    if cassette is not None and from_archive:
        raise ExtractorFailed("--cassette and --from-archive both say where answers come from.")
    if cassette is not None and len(extractors) != 1:
        raise ExtractorFailed("A cassette answers one feed; name it before --cassette.")
    return [each.name for each in extractors if not _tell(each, say, cassette, from_archive)]


def _tell(
    extractor: Extractor, say: Callable[[str], None], cassette: Path | None, from_archive: bool
) -> bool:
    answers = _answers(extractor, cassette, from_archive)

    async def run() -> DryRun:
        watermarks = await watermarks_of(extractor.name)
        return await dry_run(
            extractor.name,
            answers,
            on_request=lambda told: say(f"  {_line(told)}"),
            watermarks=watermarks,
        )

    say(f"{extractor.name}:")
    try:
        done = asyncio.run(run())
    except IngestError as error:
        say(f"  failed: {error}")
        return False
    except Exception as error:
        # Any code may be an extractor's; a dry run is to say what it does.
        say(f"  failed: {describe(error)}")
        return False
    said = many(len(done.requests), "request")
    if done.stopped_by is None:
        say(f"  {said}, to the extractor's end; nothing was sent and nothing kept")
        return True
    hint = "" if cassette or from_archive else " --from-archive or --cassette FILE gives answers."
    say(f"  {said}, then it stops. {done.stopped_by}{hint}")
    return True


def _answers(extractor: Extractor, cassette: Path | None, from_archive: bool) -> Answers:
    if cassette is not None:
        return CassetteAnswers(cassette, extractor.secrets)
    if from_archive:
        names = frozenset(name.lower() for name in extractor.feed.key_headers)
        return ArchiveAnswers(Archive(), extractor.name, extractor.secrets, names)
    return NoAnswers()


def _line(told: Told) -> str:
    body = f", {as_size(told.body_size)} of body" if told.body_size else ""
    answer = "not answered" if told.status is None else f"{told.status} at hand"
    return f"{told.method} {told.url}{body} ({answer})"
