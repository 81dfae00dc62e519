"""The fast lane: a question whose plan answers it, without Django's request handling.

Django's handler and its middleware hand a request to a thread ten times, which costs several
times what most questions do. Where the middleware is the shipped one, the door has done what
it would do, and the answer comes from the plan that the schema keeps for its document.
"""

from functools import cache, lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from ..compiled.documents import Known
from ..compiled.workers import in_worker, workers_are_open
from ..deadlines import Deadline
from ..errors import TimeExceeded
from ..schema import Api
from .answers import Reply, of_data, of_error
from .questions import Question

_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "api.access.middleware.access",
]


def is_open() -> bool:
    """Whether questions may take it: in a server, under the settings that it knows."""
    return workers_are_open() and _is_as_shipped()


async def answer(api: Api, known: Known, question: Question, deadline: Deadline) -> Reply | None:
    """The reply to a question; none where the ordinary executor has to answer."""
    name = question.operation or known.first_name
    variables = question.variables
    try:
        found = await in_worker(
            lambda: api.compiler.answer(known, name, variables, deadline=deadline)
        )
    except TimeExceeded as error:
        return of_error(error)
    return None if found.data is None else of_data(found.data)


def is_allowed(host: bytes) -> bool:
    """Whether a Host header names this server, as Django judges it."""
    return _is_allowed(host, tuple(settings.ALLOWED_HOSTS))


@lru_cache(maxsize=100)
def _is_allowed(host: bytes, allowed: tuple[str, ...]) -> bool:
    try:
        domain, _ = split_domain_port(host.decode("ascii"))
    except UnicodeDecodeError:
        return False
    return bool(domain) and validate_host(domain, allowed)


@cache
def _is_as_shipped() -> bool:
    """Whether the middleware is what this module knows; any other is Django's to run."""
    return settings.MIDDLEWARE == _MIDDLEWARE and not (
        settings.DEBUG
        or settings.SECURE_SSL_REDIRECT
        or settings.SECURE_HSTS_SECONDS
        or settings.APPEND_SLASH is None
        or settings.SECURE_REFERRER_POLICY != "same-origin"
        or settings.SECURE_CROSS_ORIGIN_OPENER_POLICY != "same-origin"
        or not settings.SECURE_CONTENT_TYPE_NOSNIFF
    )
