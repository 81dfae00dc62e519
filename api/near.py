"""Whether whoever asks sits at this machine, as far as a request tells."""

from ipaddress import ip_address

from django.http import HttpRequest
from django.http.request import split_domain_port

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_NAMES = {"localhost", "[::1]"}


def is_near(request: HttpRequest) -> bool:
    """Whether a request came from a program on this machine, to a name of this machine.

    One that a proxy handed on did not, even where the proxy is on this machine.
    """
    if any(name in request.headers for name in _FORWARDED):
        return False
    name, _ = split_domain_port(request.get_host())
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and (
        name in _NAMES or _is_loopback(name)
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
