"""Logging in: a page that keeps a token in a cookie, for people with a browser."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from ..access.recognising import COOKIE, is_own_site
from ..access.tokens import find_token


# What Django's check protects against, a page of another site that posts here, is refused below.
@method_decorator(csrf_exempt, name="dispatch")
class LogIn(View):
    """`GET` shows the page, `POST` with a token keeps it, and without one forgets it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, "", 200)

    def post(self, request: HttpRequest) -> HttpResponse:
        scope: Any = request.scope  # type: ignore[attr-defined]
        if not is_own_site(scope):
            return _page(request, "Log in on this page, not from another site.", 403)
        secret = request.POST.get("token", "").strip()
        response = HttpResponseRedirect("/")
        if not secret:
            response.delete_cookie(COOKIE, samesite="Strict")
            return response
        token = find_token(secret)
        now = timezone.now()
        if token is None or token.revoked_at or (token.expires_at and token.expires_at <= now):
            return _page(request, "There is no such token, or it works no longer.", 403)
        response.set_cookie(
            COOKIE, secret, httponly=True, samesite="Strict", secure=request.is_secure(),
            expires=token.expires_at,
        )  # fmt: skip
        return response


def _page(request: HttpRequest, message: str, status: int) -> HttpResponse:
    response = render(request, "api/log_in.html", {"message": message}, status=status)
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    )
    response["Cache-Control"] = "no-store"
    return response
