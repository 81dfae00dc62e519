"""manage.py tokens: give out, list and revoke the tokens that the API answers to."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from api.access.callers import READ, SCOPES
from api.access.tokens import make_token, revoke_token
from api.errors import TokenRefused
from api.models import Token
from raw_store import commands


class Command(commands.Command):
    help = "Give out, list and revoke the tokens that the API answers to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a token and show its secret, once")
        create.add_argument("name", help="whose it is, or what for; told in logs and lists")
        create.add_argument(
            "--scope",
            action="append",
            choices=list(SCOPES),
            help="what it may; again for more. "
            + "; ".join(f"{name}: {meaning}" for name, meaning in SCOPES.items())
            + f". Default: {READ}",
        )
        create.add_argument(
            "--source", action="append", help="a source that it sees; again for more. Default: all"
        )
        create.add_argument(
            "--days", type=int, help="how long it works. Default: until it is revoked"
        )
        actions.add_parser("list", help="name every token, what it may, and until when")
        revoke = actions.add_parser("revoke", help="make a token worthless")
        revoke.add_argument("name", help="what it is called: `tokens list` tells")

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(options)
        except TokenRefused as error:
            raise CommandError(str(error)) from error

    def _create(self, options: dict[str, Any]) -> None:
        known = {app.rpartition(".")[2] for app in settings.SOURCE_APPS}
        for source in options["source"] or ():
            if source not in known:
                raise TokenRefused(
                    f"There is no source {source}; there are {', '.join(sorted(known))}."
                )
        days = options["days"]
        if days is not None and days < 1:
            raise TokenRefused(f"--days is {days}; a token works for one day at least.")
        secret = make_token(
            options["name"],
            scopes=options["scope"] or [READ],
            sources=options["source"],
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
        )
        self.stdout.write(secret)
        self.stderr.write(
            "This is shown once: only a digest of it is kept. "
            "Send it as  Authorization: Bearer TOKEN"
        )

    def _list(self, options: dict[str, Any]) -> None:
        tokens = Token.objects.order_by("name")
        if not tokens:
            self.stdout.write("There is no token. `manage.py tokens create NAME` makes one.")
        for token in tokens:
            sources = "all sources" if token.sources is None else ", ".join(token.sources)
            self.stdout.write(
                f"{token.name:24} {', '.join(token.scopes):16} {sources:24} {_state(token)}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        token = revoke_token(options["name"])
        self.stdout.write(f"{token.name} is revoked; servers see it within two seconds.")


def _state(token: Token) -> str:
    if token.revoked_at:
        return f"revoked {token.revoked_at:%Y-%m-%d %H:%M}"
    if token.expires_at is None:
        return "works until it is revoked"
    verb = "works until" if token.expires_at > timezone.now() else "expired"
    return f"{verb} {token.expires_at:%Y-%m-%d %H:%M}"
