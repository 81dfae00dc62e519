"""Payloads to archive: pages of about 10 KB as servers send them, and small ones by the million."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

from raw_store.ids import derived_id
from raw_store.payload import Payload, request_key

from .home import FEED

START = datetime(2026, 1, 1, tzinfo=UTC)
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklm" for vowel in "aeiou"]


def pages(count: int, *, recurring: float = 0.0, seed: int = 1) -> list[Payload]:
    """JSON and HTML pages of about 10 KB at URLs of their own, with the headers servers send.

    `recurring` is the share that fetches an earlier URL again and finds the same body.
    """
    chance = random.Random(seed)
    words = _vocabulary(chance)
    run_id = derived_id(START, "run", str(seed))
    made: list[Payload] = []
    for number in range(count):
        at = START + timedelta(milliseconds=250 * number)
        if made and chance.random() < recurring:
            again = chance.choice(made)
            url, body, kind = again.url, again.body or b"", again.content_type or ""
        elif number % 3 == 2:
            url = f"https://www.shop.example/{_slug(chance, words)}/item-{number}.html"
            body, kind = _html(chance, words, number), "text/html; charset=utf-8"
        else:
            url = (
                f"https://api.shop.example/v2/offers?category={chance.choice(words)}&page={number}"
            )
            body, kind = _json(chance, words, number), "application/json"
        made.append(_payload(chance, run_id, number, at, url, body, kind))
    return made


def small(urls: int, fetches_each: int) -> Iterator[Payload]:
    """About 500 bytes each: every URL fetched in turn, `fetches_each` times over.

    Every second fetch of a URL finds what the one before found.
    """
    chance = random.Random(7)
    words = _vocabulary(chance)
    run_id = derived_id(START, "run", "small")
    keys = [""] * urls if fetches_each > 1 else []
    number = 0
    for visit in range(fetches_each):
        for item in range(urls):
            url = small_url(item)
            key = keys[item] if keys else ""
            if not key:
                key = request_key("GET", url)
                if keys:
                    keys[item] = key
            chance.seed(item * 1_000 + visit // 2)
            at = START + timedelta(milliseconds=40 * number)
            body = _small_body(chance, words, item, visit // 2)
            yield Payload(
                fetch_id=UUID(int=_id_at(at, number)),
                run_id=run_id,
                sequence=number,
                feed=FEED,
                url=url,
                request_headers=_REQUEST_HEADERS,
                request_key=key,
                status=200,
                reason="OK",
                http_version="HTTP/1.1",
                headers=_SMALL_HEADERS,
                fetched_at=at,
                elapsed_ms=20 + item % 80,
                content_type="application/json",
                body=body,
            )
            number += 1


def small_url(item: int) -> str:
    return f"https://api.sensors.example/v1/stations/{item:07d}/latest"


_REQUEST_HEADERS = (
    ("Host", "api.shop.example"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Connection", "keep-alive"),
    ("User-Agent", "rootcellar/0.1 (+https://contact.example)"),
)
_SMALL_HEADERS = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-cache"),
    ("Server", "nginx"),
)


def _payload(
    chance: random.Random,
    run_id: UUID,
    number: int,
    at: datetime,
    url: str,
    body: bytes,
    content_type: str,
) -> Payload:
    return Payload(
        fetch_id=derived_id(at, "page", str(number)),
        run_id=run_id,
        sequence=number,
        feed=FEED,
        url=url,
        request_headers=_REQUEST_HEADERS,
        request_key=request_key("GET", url),
        status=200,
        reason="OK",
        http_version="HTTP/1.1",
        headers=(
            ("Date", format_datetime(at, usegmt=True)),
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Connection", "keep-alive"),
            ("Server", "nginx/1.25.3"),
            ("Vary", "Accept-Encoding"),
            ("ETag", f'"{chance.getrandbits(64):016x}"'),
            ("Cache-Control", "public, max-age=300"),
            ("X-Request-Id", f"{chance.getrandbits(128):032x}"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
            ("X-Content-Type-Options", "nosniff"),
        ),
        fetched_at=at,
        elapsed_ms=chance.randrange(20, 400),
        content_type=content_type,
        body=body,
    )


def _json(chance: random.Random, words: list[str], number: int) -> bytes:
    offers = [
        {
            "id": number * 100 + item,
            "sku": f"{chance.getrandbits(48):012X}",
            "title": " ".join(chance.choices(words, k=6)).title(),
            "description": " ".join(chance.choices(words, k=chance.randrange(15, 45))),
            "price": {"amount": round(chance.uniform(1, 900), 2), "currency": "EUR"},
            "stock": chance.randrange(500),
            "rating": round(chance.uniform(1, 5), 1),
            "seller": {"id": chance.randrange(9_999), "name": chance.choice(words)},
            "tags": chance.sample(words, 4),
            "updated_at": f"2026-01-{1 + item % 28:02d}T{item % 24:02d}:07:31Z",
            "links": {"self": f"/v2/offers/{number * 100 + item}", "image": None},
        }
        for item in range(chance.randrange(13, 21))
    ]
    return json.dumps({"page": number, "total": 90_000, "results": offers}).encode()


def _html(chance: random.Random, words: list[str], number: int) -> bytes:
    rows = "\n".join(
        f'    <tr class="row"><td>{item}</td><td><a href="/{_slug(chance, words)}">'
        f"{' '.join(chance.choices(words, k=4))}</a></td><td>{chance.uniform(1, 99):.2f}</td></tr>"
        for item in range(chance.randrange(25, 45))
    )
    text = "\n".join(
        f"  <p>{' '.join(chance.choices(words, k=chance.randrange(30, 90))).capitalize()}.</p>"
        for _ in range(chance.randrange(7, 13))
    )
    return (
        "<!doctype html>\n<html lang=en>\n<head>\n  <meta charset=utf-8>\n"
        f"  <title>Item {number}</title>\n  <link rel=stylesheet href=/static/site.4f1c.css>\n"
        f"</head>\n<body>\n  <nav><a href=/>Home</a> <a href=/items>Items</a></nav>\n"
        f"  <h1>{' '.join(chance.choices(words, k=5)).title()}</h1>\n{text}\n"
        f"  <table>\n{rows}\n  </table>\n  <footer>Shop example</footer>\n</body>\n</html>\n"
    ).encode()


def _small_body(chance: random.Random, words: list[str], item: int, version: int) -> bytes:
    readings = ",".join(
        f'{{"at":{item + reading},"value":{chance.random():.5f},"unit":"C"}}'
        for reading in range(9)
    )
    return (
        f'{{"station":{item},"version":{version},"name":"{chance.choice(words)}",'
        f'"status":"ok","readings":[{readings}]}}'
    ).encode()


def _vocabulary(chance: random.Random) -> list[str]:
    return ["".join(chance.choices(_SYLLABLES, k=chance.randrange(2, 5))) for _ in range(2_000)]


def _slug(chance: random.Random, words: list[str]) -> str:
    return "-".join(chance.choices(words, k=3))


def _id_at(at: datetime, number: int) -> int:
    """A UUIDv7 of this moment, quicker made than by `raw_store.ids`."""
    milliseconds = int(at.timestamp() * 1000)
    return milliseconds << 80 | 7 << 76 | 2 << 62 | number
