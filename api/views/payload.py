"""The body of an archived payload, for downloading.

A body is whatever a stranger's server sent. It keeps its content type, and is never
shown as a page of this site: it is an attachment, unsniffed and sandboxed.
"""

import mimetypes
import re
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from raw_store.archive import Archive
from raw_store.errors import PayloadNotFound, SegmentCorrupt
from raw_store.payload import Payload

from ..access.middleware import caller_of_request

_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;\s*[\w-]+=(\"[\w .:/+-]*\"|[\w.:/+-]+))*"
)


@require_safe
async def payload_body(request: HttpRequest, fetch_id: UUID) -> HttpResponse:
    """Send the body that a fetch received, or the earlier one that it confirmed."""
    caller = await caller_of_request(request)
    try:
        found = await sync_to_async(_find)(fetch_id)
        if found is None or not caller.sees(found.source):
            return _missing(f"No archived payload has the fetch id {fetch_id}.")
        if found.payload_id is None:
            return _missing(f"Fetch {fetch_id} received no body: {_outcome(found)}.")
        tag = f'"{found.body_digest}"'
        if tag in request.headers.get("If-None-Match", ""):
            return _cached(HttpResponse(status=304), tag)
        payload = await sync_to_async(Archive().read)(fetch_id)
    except PayloadNotFound as error:
        return _missing(str(error))
    except SegmentCorrupt as error:
        return JsonResponse({"error": str(error)}, status=503)
    return _cached(_download(payload), tag)


def _find(fetch_id: UUID) -> Payload | None:
    return Archive().read_many([fetch_id], bodies=False).get(fetch_id)


def _download(payload: Payload) -> HttpResponse:
    kind = payload.content_type or ""
    safe = kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
    suffix = mimetypes.guess_extension(safe.partition(";")[0].strip()) or ".bin"
    response = HttpResponse(payload.body or b"", content_type=safe)
    response["Content-Disposition"] = f'attachment; filename="{payload.fetch_id}{suffix}"'
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _cached(response: HttpResponse, tag: str) -> HttpResponse:
    response["ETag"] = tag
    # What was archived under an id never changes.
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


def _outcome(payload: Payload) -> str:
    return payload.error or f"status {payload.status}"


def _missing(message: str) -> JsonResponse:
    return JsonResponse({"error": message}, status=404)
