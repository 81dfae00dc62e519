"""Tokens: made, found by their secret, revoked.

A secret has 256 random bits, so a plain SHA-256 of it is as good as a slow one: there is
nothing to guess. It is shown once, by the command that makes it.
"""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from ..errors import TokenRefused
from ..models import Token
from .callers import SCOPES

PREFIX = "rc_"
TRUSTED_SECONDS = 2.0
"""How long a process goes by what it last read of a token: as long may a revoked one work."""
_MAX_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class _Read:
    token: Token | None
    at: float


_lock = threading.Lock()
_known: OrderedDict[str, _Read] = OrderedDict()


def make_token(
    name: str,
    *,
    scopes: Iterable[str],
    sources: Iterable[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make a token and return its secret. Raises `TokenRefused` for what is no token."""
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise TokenRefused(f"There is no scope {unknown[0]}; a token has {', '.join(SCOPES)}.")
    if not wanted:
        raise TokenRefused(f"A token needs at least one scope of {', '.join(SCOPES)}.")
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            Token.objects.create(
                name=name,
                digest=digest_of(secret),
                scopes=wanted,
                sources=None if sources is None else sorted(set(sources)),
                created_at=timezone.now(),
                expires_at=expires_at,
            )
    except IntegrityError as error:
        raise TokenRefused(
            f"There is a token {name} already. Choose another name: one that was revoked keeps "
            "its own, so that it can be told what it did."
        ) from error
    return secret


def revoke_token(name: str) -> Token:
    """Make a token worthless from now on. Raises `TokenRefused` where there is none."""
    token = Token.objects.filter(name=name).first()
    if token is None:
        raise TokenRefused(f"There is no token {name}. `manage.py tokens list` names them all.")
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
    forget()
    return token


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def known_token(secret: str) -> tuple[bool, Token | None]:
    """Whether this process read the secret's token a moment ago; and the token, if there is one."""
    with _lock:
        found = _known.get(digest_of(secret))
    if found is None or time.monotonic() - found.at > TRUSTED_SECONDS:
        return False, None
    return True, found.token


def find_token(secret: str) -> Token | None:
    """The token with this secret, as the database has it; revoked and expired ones too."""
    digest = digest_of(secret)
    token = Token.objects.filter(digest=digest).first()
    with _lock:
        _known[digest] = _Read(token, time.monotonic())
        _known.move_to_end(digest)
        while len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
    return token


def forget() -> None:
    """Read every token again when it is next used."""
    with _lock:
        _known.clear()
