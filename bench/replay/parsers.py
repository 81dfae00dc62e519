"""`python -m bench.replay.parsers`: lxml against selectolax over real HTML pages.

Each way reads all pages from their text, then answers what transforms ask: one element, all links
with their text, the rows of tables. Rounds are interleaved and figures are medians. Pages are
those of `../shared/corpus` where it is present, otherwise generated ones.
"""

import argparse
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import lxml.html
from selectolax.lexbor import LexborHTMLParser

from bench.archive import home, machine
from bench.archive.clock import interleaved, median, speed_ratio
from bench.archive.payloads import pages as generated_pages
from raw_store.parsing.charsets import decode

NESTED = (200, 1_000, 5_000, 20_000)
"""Depths of `<div>` in `<div>`, as a hostile page may have them."""

Page = str
Read = Callable[[Page], Any]


def main() -> None:
    given = _arguments()
    origin, pages = _pages()
    steps = {
        step: interleaved({name: _over(pages, read) for name, read in ways.items()}, given.rounds)
        for step, ways in {"parse": READS, "parse and ask": ASKS}.items()
    }
    characters = sum(map(len, pages))
    found = {
        "pages": origin,
        "count": len(pages),
        "characters": characters,
        "rounds": given.rounds,
        "mb_per_s": {
            step: {name: round(characters / 1e6 / median(each), 1) for name, each in taken.items()}
            for step, taken in steps.items()
        },
        "selectolax_against_lxml": {
            step: speed_ratio(taken, "selectolax", "lxml") for step, taken in steps.items()
        },
        "answers": {name: _total(pages, ask) for name, ask in ASKS.items()},
        "nested": {str(depth): _nested(depth) for depth in NESTED},
        "machine": machine.describe(),
    }
    home.RESULTS.mkdir(parents=True, exist_ok=True)
    file = home.RESULTS / "parsers.json"
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    print(f"Kept in {file.relative_to(home.ROOT)}.", file=sys.stderr)


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    speeds = found["mb_per_s"]
    rows = [
        ["", "lxml", "selectolax", "selectolax is times as fast"],
        *(
            [
                f"{step}, MB/s",
                *(f"{speeds[step][name]:.1f}" for name in READS),
                f"{found['selectolax_against_lxml'][step]:.2f}",
            ]
            for step in speeds
        ),
        ["links", *(f"{found['answers'][name]['links']:,}" for name in READS), ""],
        ["table rows", *(f"{found['answers'][name]['rows']:,}" for name in READS), ""],
        *(
            [
                f"`<div>` {int(depth):,} deep",
                *(f"{each[name]['seconds']:.3f} s, {each[name]['kept']:,} kept" for name in READS),
                "",
            ]
            for depth, each in found["nested"].items()
        ),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| --- | ---: | ---: | ---: |")
    said = (
        f"{found['count']:,} pages ({found['pages']}), {found['characters'] / 1e6:.1f} million "
        f"characters, {found['rounds']} interleaved rounds, medians."
    )
    return "\n".join([said, "", *lines])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.replay.parsers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def _pages() -> tuple[str, list[Page]]:
    """Where the pages come from, and their texts."""
    archives = sorted((home.CORPUS / "cppreference-wiki").glob("*.tar.xz"))
    if not archives:
        made = [each for each in generated_pages(1_500) if "html" in (each.content_type or "")]
        return "generated; ../shared/corpus is not here", [each.text for each in made]
    found = []
    for archive in archives:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
            for member in files:
                file = files.extractfile(member) if member.name.endswith(".html") else None
                if file:
                    found.append(decode(file.read(), "text/html").text)
    return "cppreference-wiki", found


def _over(pages: Sequence[Page], read: Read) -> Callable[[], object]:
    def work() -> None:
        for page in pages:
            read(page)

    return work


def _lxml(page: Page) -> Any:
    return lxml.html.document_fromstring(page)


def _ask_lxml(page: Page) -> dict[str, int]:
    tree = _lxml(page)
    title = tree.find(".//title")
    links = [(each.get("href"), each.text_content()) for each in tree.iterfind(".//a[@href]")]
    rows = [[cell.text_content() for cell in row] for row in tree.iterfind(".//tr")]
    return {"titles": title is not None, "links": len(links), "rows": len(rows)}


def _ask_selectolax(page: Page) -> dict[str, int]:
    tree = LexborHTMLParser(page)
    title = tree.css_first("title")
    links = [(each.attributes["href"], each.text()) for each in tree.css("a[href]")]
    rows = [[cell.text() for cell in row.iter()] for row in tree.css("tr")]
    return {"titles": title is not None, "links": len(links), "rows": len(rows)}


READS: dict[str, Read] = {"lxml": _lxml, "selectolax": LexborHTMLParser}
ASKS: dict[str, Read] = {
    "lxml": _ask_lxml,
    "selectolax": _ask_selectolax,
}


def _total(pages: Sequence[Page], ask: Read) -> dict[str, int]:
    answers = [ask(page) for page in pages]
    return {key: sum(each[key] for each in answers) for key in answers[0]}


def _nested(depth: int) -> dict[str, dict[str, float]]:
    """How long each takes over a page so deep, and how many of its elements it keeps."""
    page = f"<body>{'<div>' * depth}text"
    found = {}
    for name, read in READS.items():
        started = time.perf_counter()
        tree = read(page)
        seconds = time.perf_counter() - started
        divs = tree.iterfind(".//div") if name == "lxml" else tree.css("div")
        found[name] = {"seconds": round(seconds, 3), "kept": sum(1 for _ in divs)}
    return found


if __name__ == "__main__":
    main()
