"""A program with something to erase, in a home of its own, for `tests/test_erase.py`.

python -m tests.erase_child fill            archive, replay, compact, replay again
python -m tests.erase_child killed POINT    erase, and die with SIGKILL at a point
python -m tests.erase_child beside          erase while a diff of other code has read, not written
python -m tests.erase_child finish          finish what was interrupted, and as below
python -m tests.erase_child left            what the archive and the tables hold, as JSON
python -m tests.erase_child restore         the same after the index was made from the files
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import django
from django.core.management import call_command

SECRET_URL = "http://library.example/users/canary-in-url-7"
OTHER_URL = "http://library.example/users/8"
CANARY = "canary-in-body-Quetzalcoatlus"
HEADER_CANARY = "canary-in-header-Pterodaustro"
FEED = "sample.loans"


def main(action: str, *arguments: str) -> None:
    django.setup()
    actions: dict[str, Callable[..., object]] = {
        "fill": fill,
        "killed": killed,
        "beside": beside,
        "finish": finish,
        "left": left,
        "restore": restore,
    }
    sys.stdout.write(json.dumps(actions[action](*arguments)) + "\n")


def fill() -> object:
    from etl.walk import refresh
    from raw_store.archive import Archive
    from raw_store.models import LatestVersion

    call_command("migrate", verbosity=0)
    archive = Archive()
    archive.append_all(FEED, _history(range(4)), complete_runs=True)
    refresh("sample")
    archive.compact([FEED])
    archive.append_all(FEED, _history(range(4, 9)), complete_runs=True)
    archive.append_all("sample.pages", [_unreadable()], complete_runs=True)
    refresh("sample")
    return {"latest": LatestVersion.objects.count(), "segments": len(archive.segments())}


def _history(minutes: Any) -> Any:
    """Two requests: one to be erased, with revisits; its neighbour, whose rows must stay."""
    from tests.making import make_payload

    header = (("Content-Type", "application/json"), ("X-Note", HEADER_CANARY), ("ETag", '"c"'))
    for minute in minutes:
        # The body recurs: every other fetch is a revisit.
        loans = [{"book_id": "x", "day": f"2026-01-{minute // 2 + 1:02}", "loan_count": 1}]
        books = [{"code": "x", "title": CANARY, "author_id": "ann"}]
        yield make_payload(
            FEED,
            {"authors": [{"code": "ann", "name": CANARY}], "books": books, "loans": loans},
            minute=minute,
            run=minute,
            url=SECRET_URL,
            headers=header,
        )
        loans = [{"book_id": "y", "day": f"2026-02-{minute // 2 + 1:02}", "loan_count": 2}]
        books = [{"code": "y", "title": "Yarrow", "author_id": "bob"}]
        yield make_payload(
            FEED,
            {"authors": [{"code": "bob", "name": "Bob"}], "books": books, "loans": loans},
            minute=minute + 0.5,
            run=minute,
            sequence=1,
            url=OTHER_URL,
        )


def _unreadable() -> Any:
    """A payload in quarantine: what the transform said of it quotes its content."""
    from tests.making import make_payload

    return make_payload(
        "sample.pages",
        {"books": [{"code": "z", "title": "Z", "author_id": "ann", "price": CANARY}]},
        minute=20,
        url=SECRET_URL,
    )


def killed(point: str) -> object:
    """Erase; die where `point` says. Only the place where the process dies is patched in."""
    from raw_store import compaction, erasing, followers

    def die_after(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def then_die(*arguments: Any, **options: Any) -> None:
            original(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, then_die)

    places: dict[str, tuple[Any, str]] = {
        "begun": (erasing, "_begin"),
        "first segment": (compaction, "replace"),
        "rewritten": (erasing, "_rewrite"),
        "renewed": (followers, "renew"),
        "cleaned": (erasing, "clean_database"),
        "searched": (erasing, "search"),
    }
    die_after(*places[point])
    call_command("archive", "erase", "--url", SECRET_URL, "--yes")
    return None


def beside() -> object:
    """Erase while `replay --diff` parses with other code: after it has read, before it writes."""
    from etl.diffing import find_diff
    from reshape import parse, registry

    reading: Any = parse
    name = "sample.transform_loans"
    registry._transforms[name] = replace(registry._transforms[name], code_digest="other")
    erasing = Thread(
        target=call_command,
        args=["archive", "erase", "--url", SECRET_URL, "--yes"],
        kwargs={"stdout": sys.stderr},
    )
    waits: list[bool] = []
    iter_readable = reading.iter_readable

    def read_and_be_overtaken(*arguments: Any) -> Any:
        payloads = list(iter_readable(*arguments))
        if not erasing.ident:
            erasing.start()
            erasing.join(3)
            waits.append(erasing.is_alive())
        yield from payloads

    reading.iter_readable = read_and_be_overtaken
    find_diff("sample")
    erasing.join()
    return {"waits": waits}


def finish() -> object:
    call_command("archive", "erase", "--resume", verbosity=0, stdout=sys.stderr)
    return left()


def restore() -> object:
    """With the database and every derived file gone: all of it again, from the archive alone."""
    call_command("migrate", verbosity=0)
    call_command("archive", "reindex", verbosity=0, stdout=sys.stderr)
    call_command("replay", "sample", verbosity=0, stdout=sys.stderr)
    return left()


def left() -> object:
    from raw_store.archive import Archive
    from raw_store.models import LatestVersion
    from tests.sample.models import Author, Book, Loan

    archive = Archive()
    return {
        "fetches": [
            [str(p.fetch_id), p.url, (p.body or b"").decode(), str(p.payload_id)]
            for p in archive.scan()
        ],
        "problems": [problem for report in archive.verify() for problem in report.problems],
        "latest": sorted(LatestVersion.objects.values_list("url", flat=True)),
        "rows": {
            model.__name__: sorted(str(values) for values in model.objects.values_list())
            for model in (Author, Book, Loan)
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
