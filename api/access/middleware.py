"""Access to everything that Django serves: no page, body or answer without the scope `read`."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import async_only_middleware

from .callers import READ, Caller
from .recognising import caller_of

OPEN = ("/healthz", "/login", "/static/", "/sql")
"""Where anyone may look: what a probe asks, how to log in, and what pages are drawn with.
What is asked of `/sql` needs another scope than `read`, which its view sees to."""

Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware
def access(get_response: Handler) -> Handler:
    """The middleware: refuses with 401 or 403, and tells views who asks."""

    async def handle(request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(OPEN):
            return await get_response(request)
        caller = await caller_of_request(request)
        if not caller.may(READ):
            return refuse(request, caller)
        return await get_response(request)

    return handle


async def caller_of_request(request: HttpRequest) -> Caller:
    """Who sends a request that Django handles."""
    return await caller_of(_scope_of(request))


def refuse(request: HttpRequest, caller: Caller, scope: str = READ) -> HttpResponse:
    """The answer to someone who lacks a scope: for a browser a page to log in on."""
    message = caller.refusal or f"{caller.name} has not the scope {scope}."
    status = 401 if caller.refusal else 403
    if "text/html" in request.headers.get("Accept", ""):
        context = {"message": message if "Authorization" in request.headers else ""}
        response = render(request, "api/log_in.html", context, status=status)
    else:
        # In the form of GraphQL's errors, which other addresses may use as well.
        response = JsonResponse({"data": None, "errors": [{"message": message}]}, status=status)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="rootcellar"'
    return response


def _scope_of(request: HttpRequest) -> MutableMapping[str, Any]:
    """The request's ASGI scope; as much of one as matters here, where Django was asked by WSGI."""
    asked: MutableMapping[str, Any] | None = getattr(request, "scope", None)
    if asked is not None:
        return asked
    return {
        "method": request.method,
        "client": (request.META.get("REMOTE_ADDR", ""), 0),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
        ],
    }
