"""What tests of WARC and HAR share: fresh archives, rows to compare, rules that mask nothing."""

from pathlib import Path
from typing import Any

from raw_store.archive import Archive
from raw_store.feeds import Feed
from raw_store.interchange.arrivals import Arrived
from raw_store.interchange.warc_export import export_warc
from raw_store.interchange.warc_import import import_warc
from raw_store.models import LatestVersion, Segment
from raw_store.payload import request_key
from raw_store.rows import SCHEMA, to_table

from .conftest import FEED

Row = dict[str, Any]


class Unmasked:
    """Rules that mask nothing, so that bytes can be compared."""

    def redact(self, payload):
        return payload

    def request_key(self, payload, key_headers):
        headers = [pair for pair in payload.request_headers if pair[0].lower() in key_headers]
        return request_key(payload.method, payload.url, payload.request_body, headers)


def fresh(folder: Path) -> Archive:
    """An archive with nothing in it, and nothing of another in the index."""
    Segment.objects.all().delete()
    LatestVersion.objects.all().delete()
    return Archive(str(folder))


def take(archive: Archive, *paths: Path, feed: str = FEED, keep_encoded: bool = False) -> Arrived:
    """Import WARC files, masking nothing."""
    return import_warc(archive, Feed(name=feed, keep_encoded=keep_encoded), paths, Unmasked())


def rows_of(archive: Archive, feed: str = FEED) -> list[Row]:
    """Every column of every row, in the order archived."""
    table = to_table(list(archive.scan(feed)))
    assert table.schema.names == SCHEMA.names
    return list(table.to_pylist())


def by_id(rows: list[Row]) -> dict[str, Row]:
    return {row["fetch_id"]: row for row in rows}


def exported(archive: Archive, folder: Path, **options) -> list[Path]:
    """The files of an export of the feed."""
    return export_warc(archive, FEED, folder, **options).files
