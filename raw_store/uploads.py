"""Partial uploads: what a killed writer leaves in an S3 store, unseen by any listing of objects.

A large object is uploaded in parts and appears when the upload is completed. An upload that never
is stays, and is paid for, until somebody aborts it. `pyarrow.fs` can neither list nor abort
uploads, so this module asks the store itself: two requests, signed here.

Only uploads of segments below the archive's own prefix are ever looked at.

Sources: Amazon S3 API reference, ListMultipartUploads and AbortMultipartUpload; "Authenticating
Requests (AWS Signature Version 4)", its section on the Authorization header.
"""

import hashlib
import hmac
import http.client
import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree

from .errors import StoreRefused

logger = logging.getLogger(__name__)

_SEGMENT = re.compile(r"source=[^/]+/feed=[^/]+/date=[^/]+/[^/]+\.parquet")
_TIMEOUT = 20.0
"""Seconds that the store may take for one answer."""
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialUpload:
    """An upload that was begun and neither completed nor aborted."""

    path: str
    """Of the segment it was to be, below the archive's address."""
    upload_id: str
    started_at: datetime


def sweep(url: str, *, grace: timedelta, dry_run: bool = False) -> list[str]:
    """Abort the archive's uploads that were begun longer than `grace` ago; return their paths.

    A folder has none. A store that refuses is logged, for the rest of a clean-up works without.
    """
    if not url.startswith("s3://"):
        return []
    store = _Store.of(url)
    swept = []
    try:
        for upload in list(_uploads(store)):
            if datetime.now(UTC) - upload.started_at >= grace:
                if not dry_run:
                    _abort(store, upload)
                swept.append(upload.path)
    except StoreRefused as error:
        logger.warning("partial uploads not swept: %s", error)
    return swept


def pending(url: str) -> list[PartialUpload]:
    """The archive's uploads that are not complete. Raises `StoreRefused`."""
    return list(_uploads(_Store.of(url)))


def abort(url: str, path: str) -> None:
    """Abort whatever upload of this one segment is not complete. Raises `StoreRefused`."""
    store = _Store.of(url)
    for upload in list(_uploads(store, path)):
        _abort(store, upload)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Store:
    """Where requests go and who signs them: an archive's address, and the environment."""

    scheme: str
    host: str
    bucket: str
    prefix: str
    """Of the archive's keys: empty, or ending in a slash."""
    region: str
    key: str
    secret: str
    token: str
    certificates: str | None

    @classmethod
    def of(cls, url: str) -> "_Store":
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        credentials, _, bucket = parts.netloc.rpartition("@")
        key, _, secret = credentials.partition(":")
        environment: Mapping[str, str] = os.environ
        region = (
            options.get("region")
            or environment.get("AWS_REGION")
            or environment.get("AWS_DEFAULT_REGION")
            or "us-east-1"
        )
        endpoint = (
            options.get("endpoint_override")
            or environment.get("AWS_ENDPOINT_URL_S3")
            or environment.get("AWS_ENDPOINT_URL")
            or f"s3.{region}.amazonaws.com"
        )
        scheme, separator, host = endpoint.rpartition("://")
        prefix = unquote(parts.path).strip("/")
        if not key:
            key = environment.get("AWS_ACCESS_KEY_ID", "")
            secret = environment.get("AWS_SECRET_ACCESS_KEY", "")
            token = environment.get("AWS_SESSION_TOKEN", "")
        else:
            key, secret, token = unquote(key), unquote(secret), ""
        return cls(
            scheme=options.get("scheme") or (scheme if separator else "https"),
            host=host.rstrip("/"),
            bucket=unquote(bucket),
            prefix=f"{prefix}/" if prefix else "",
            region=region,
            key=key,
            secret=secret,
            token=token,
            certificates=options.get("tls_ca_file_path"),
        )


def _uploads(store: _Store, path: str = "") -> Iterator[PartialUpload]:
    """The uploads of segments below the archive's prefix, or of the one at `path`."""
    marker: dict[str, str] = {}
    while True:
        query = {"uploads": "", "prefix": f"{store.prefix}{path}", **marker}
        document = _request(store, "GET", "", query)
        if not document:
            return
        page = _without_namespaces(document)
        for found in page.iter("Upload"):
            key = found.findtext("Key", "")
            below = key.removeprefix(store.prefix)
            is_ours = key.startswith(store.prefix) and _SEGMENT.fullmatch(below)
            if is_ours and path in ("", below):
                yield PartialUpload(
                    path=below,
                    upload_id=found.findtext("UploadId", ""),
                    started_at=datetime.fromisoformat(found.findtext("Initiated", "")),
                )
        following = {
            "key-marker": page.findtext("NextKeyMarker", ""),
            "upload-id-marker": page.findtext("NextUploadIdMarker", ""),
        }
        if page.findtext("IsTruncated") != "true" or following == marker:
            return
        marker = following


def _abort(store: _Store, upload: PartialUpload) -> None:
    _request(store, "DELETE", f"{store.prefix}{upload.path}", {"uploadId": upload.upload_id})


def _request(store: _Store, method: str, key: str, query: Mapping[str, str]) -> bytes:
    """What the store answers; nothing for a bucket, or an upload to delete, that is not there."""
    if not store.key:
        raise StoreRefused(
            f"Partial uploads in the bucket {store.bucket} can be listed only with "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment. Set them, or give the "
            "bucket a lifecycle rule that aborts incomplete multipart uploads after a day."
        )
    path = quote(f"/{store.bucket}/{key}".rstrip("/"), safe=f"/{_UNRESERVED}")
    line = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(query.items()))
    connection: http.client.HTTPConnection
    if store.scheme == "http":
        connection = http.client.HTTPConnection(store.host, timeout=_TIMEOUT)
    else:
        trusted = ssl.create_default_context(cafile=store.certificates)
        connection = http.client.HTTPSConnection(store.host, timeout=_TIMEOUT, context=trusted)
    try:
        headers = _signed(store, method, path, line, datetime.now(UTC))
        connection.request(method, f"{path}?{line}", headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise StoreRefused(
            f"The store at {store.host} did not answer ({error}). Is it up, and is "
            "`endpoint_override` in ARCHIVE_URL right?"
        ) from error
    finally:
        connection.close()
    code = re.search(rb"<Code>(\w+)</Code>", body)
    if response.status == 404 and (method == "DELETE" or (code and code[1] == b"NoSuchBucket")):
        return b""
    if response.status >= 300:
        raise StoreRefused(
            f"The store at {store.host} answered {response.status}"
            f"{' ' + code[1].decode() if code else ''} when asked for the partial uploads in the "
            f"bucket {store.bucket}. Allow s3:ListBucketMultipartUploads and "
            "s3:AbortMultipartUpload, or give the bucket a lifecycle rule that aborts incomplete "
            "multipart uploads."
        )
    return body


def _signed(store: _Store, method: str, path: str, query: str, now: datetime) -> dict[str, str]:
    """The headers of a request without a body, signed (AWS Signature Version 4)."""
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": store.host, "x-amz-content-sha256": empty, "x-amz-date": moment}
    if store.token:
        headers["x-amz-security-token"] = store.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join([method, path, query, lines, names, empty])
    scope = f"{now:%Y%m%d}/{store.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{store.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={store.key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _quoted(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


def _without_namespaces(document: bytes) -> ElementTree.Element:
    """An XML document's root, its names without the namespace that some stores leave out."""
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise StoreRefused(
            f"The store's list of partial uploads is no XML ({error}). "
            "Is `endpoint_override` in ARCHIVE_URL the address of an S3 store?"
        ) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
