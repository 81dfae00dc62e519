"""What a notice says, in words and as JSON."""

from typing import Any

from ..models import Event, Notice, Run


def text_of(notice: Notice) -> str:
    """One line for people, without control characters; an error's first 500 characters.

    A run that was removed since is told of by what the notice itself knows.
    """
    if notice.event == Event.TEST:
        return "This is a test: notices of runs arrive here."
    run = _run_of(notice)
    if notice.event == Event.FAILED:
        times = notice.failure_count
        row = f" ({times} failures in a row)" if times > 1 else ""
        return _plain(f"{notice.feed} failed{row}: {run.error if run else 'its run was removed'}")
    said = f"{notice.feed} finished"
    if notice.event == Event.RECOVERED:
        times = notice.failure_count
        said = f"{notice.feed} recovered after {times} failure{'s' if times > 1 else ''}"
    return _plain(f"{said}: {', '.join([*_fetched(run), *_rows(notice)])}")


def json_of(notice: Notice) -> dict[str, Any]:
    """The same for programs: event, feed, source, run, rows, text."""
    run = _run_of(notice)
    return {
        "event": f"run.{notice.event}",
        "feed": notice.feed,
        "source": notice.feed.partition(".")[0],
        "consecutive_failures": notice.failure_count,
        "run": run
        and {
            "id": str(run.id),
            "started_at": run.started_at.isoformat(),
            "finished_at": run.finished_at and run.finished_at.isoformat(),
            "outcome": str(run.outcome),
            "payload_count": run.payload_count,
            "received_bytes": run.received_bytes,
            "failure_count": run.failure_count,
            "error": run.error,
        },
        "rows": notice.rows,
        "text": text_of(notice),
    }


def _run_of(notice: Notice) -> Run | None:
    return Run.objects.filter(pk=notice.run_id).first() if notice.run_id else None


def _fetched(run: Run | None) -> list[str]:
    if run is None:
        return ["its run was removed"]
    seconds = ((run.finished_at or run.started_at) - run.started_at).total_seconds()
    found = [f"{run.payload_count:,} payload{'' if run.payload_count == 1 else 's'}"]
    if run.failure_count:
        found.append(f"{run.failure_count:,} failed fetches")
    return [*found, f"{seconds:,.1f} s"]


def _rows(notice: Notice) -> list[str]:
    if notice.rows is None:
        return []
    said = [f"{count:,} {what}" for what, count in notice.rows.items() if count]
    return [f"rows: {', '.join(said) or 'unchanged'}"]


def _plain(text: str) -> str:
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= 600 else f"{line[:599]}…"
