"""Who asks: `@extractor(…, auth=auth.bearer("SHOP_TOKEN", to="https://api.example.org"))`.

Secrets are named by environment variables and read when they are used, so that none stands in
code. They go to the addresses in `to=` and nowhere else.
"""

from collections.abc import Iterable

from ..errors import ExtractorInvalid
from .credentials import Auth, Shown, api_key, basic, bearer
from .oauth import client_credentials, refresh_token
from .signing_in import login

__all__ = [
    "Auth",
    "Shown",
    "api_key",
    "basic",
    "bearer",
    "client_credentials",
    "declared",
    "login",
    "refresh_token",
]


def declared(given: Auth | Iterable[Auth] | None) -> tuple[Auth, ...]:
    """What `auth=` was given, as a tuple. Raises `ExtractorInvalid` for anything else."""
    if given is None:
        return ()
    found = (given,) if isinstance(given, Auth) else tuple(given)
    for each in found:
        if not isinstance(each, Auth):
            raise ExtractorInvalid(
                'auth= is one of ingest.auth, for example auth.bearer("SHOP_TOKEN", '
                f'to="https://api.example.org"), or a list of them; got {each!r}'
            )
    return found
