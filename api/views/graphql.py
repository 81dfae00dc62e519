"""GraphQL over HTTP, and GraphiQL on the same address.

A question is a GET, or a POST of `application/json`, which a page of another site cannot
send without asking first; one that names another site as its origin is refused.
"""

import json
import logging
from functools import cache
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from strawberry.django.views import AsyncGraphQLView

from ..access.middleware import caller_of_request
from ..access.recognising import is_own_site
from ..bodies import read_json
from ..compiled.extension import Asking
from ..deadlines import DEADLINE, Deadline
from ..errors import SchemaError
from ..schema import get_api
from ..serving import ERRORS, THROUGH
from .files import version

logger = logging.getLogger(__name__)

_FIRST_QUESTION = """\
# Questions are asked here; the book on the left lists everything there is.
# Ctrl-Space completes, Ctrl-Enter asks.

{
  feeds {
    name
    schedule
    lastRun {
      startedAt
      outcome
      payloadCount
    }
  }
}
"""


class _View(AsyncGraphQLView[Any, Any]):
    async def get_context(self, request: HttpRequest, response: HttpResponse) -> Asking:
        tells_plan = request.headers.get("X-Plan", "") not in ("", "0")
        scope: dict[str, Any] = getattr(request, "scope", {})
        return Asking(
            request=request,
            response=response,
            tells_plan=tells_plan,
            caller=await caller_of_request(request),
            deadline=scope.get(DEADLINE) or Deadline(),
        )

    async def process_result(self, request: HttpRequest, result: Any) -> Any:
        if result.errors and hasattr(request, "scope"):
            request.scope[ERRORS] = True
        return await super().process_result(request, result)

    def encode_json(self, data: object) -> str | bytes:
        try:
            return orjson.dumps(data, default=DjangoJSONEncoder().default)
        except TypeError:
            # A JSON column may hold integers beyond 64 bits.
            return json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"))

    def decode_json(self, data: str | bytes) -> object:
        try:
            found = read_json(data)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None
        found = {} if found is None else found
        if not isinstance(found, dict):
            raise json.JSONDecodeError("a question is a JSON object", "", 0)
        return found

    async def render_graphql_ide(self, request: HttpRequest) -> HttpResponse:
        response = render(
            request, "api/graphiql.html", {"question": _FIRST_QUESTION, "version": version()}
        )
        response["Content-Security-Policy"] = (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "frame-ancestors 'none'"
        )
        return response


@csrf_exempt
async def graphql(request: HttpRequest) -> HttpResponseBase:
    """Answer a question, or show GraphiQL to a browser that asks none."""
    scope: dict[str, Any] = getattr(request, "scope", {"headers": []})
    if not is_own_site(scope):
        site = request.headers.get("Origin", "another site")
        return _refuse(
            403,
            f"This question comes from a page of {site}. "
            "Name that site in CSRF_TRUSTED_ORIGINS to allow it.",
        )
    if request.method == "POST" and request.content_type != "application/json":
        return _refuse(415, "A question is posted as application/json.")
    if settings.GRAPHQL_PERSISTED_ONLY and request.method == "POST" and not scope.get(THROUGH):
        return _refuse(403, "Only the documents that this server was given are answered here.")
    try:
        view = await sync_to_async(_view)()
    except SchemaError:
        logger.exception("no schema")
        return _refuse(503, "There is no schema; the server's log, or manage.py check, says why.")
    response: HttpResponseBase = await view(request)
    if response.status_code == 405:
        response["Allow"] = "GET, POST"
    return response


@cache
def _view() -> Any:
    return _View.as_view(schema=get_api().schema, multipart_uploads_enabled=False)


def _refuse(status: int, message: str) -> JsonResponse:
    return JsonResponse({"data": None, "errors": [{"message": message}]}, status=status)
