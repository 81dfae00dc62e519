"""How a sender proves who they are: the schemes that webhooks commonly use.

Secrets are named by environment variables and read when a push arrives, so that none stands in
code. Several names mean several secrets that hold, as while one is being replaced.
A comparison takes the same time however much agrees.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import ReceiverInvalid, SecretMissing, SignatureRefused

TOLERANCE = timedelta(minutes=5)
"""How old, or how far ahead, a signed time may be: what is caught on its way is not sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a sender sent, before anything is decoded."""

    headers: Mapping[str, str]
    """By lower-case name; of a repeated one the first."""
    body: bytes
    """As sent."""
    received_at: datetime

    def header(self, name: str) -> str:
        """A header's value; raises `SignatureRefused` where it was not sent."""
        found = self.headers.get(name.lower())
        if found is None:
            raise SignatureRefused(f"The header {name} is missing.")
        return found.strip()


Verify = Callable[[Push, list[str]], bool]
"""Whether a push agrees with one of the secrets. Raises `SignatureRefused` saying what it lacks."""
Challenge = Callable[[bytes], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One scheme, with the names of the secrets it takes."""

    scheme: str
    secret_names: tuple[str, ...]
    matches: Verify
    delivery_headers: tuple[str, ...] = ()
    """Headers whose value is the same only when one delivery is sent again."""
    challenge: Challenge | None = None
    """The text to answer with, for a push that asks whether somebody is there; None for others."""

    def verify(self, push: Push) -> None:
        """Raise `SignatureRefused` for a push that nobody who knows a secret has sent.

        Raises `SecretMissing` where no secret is set: then nothing can be told.
        """
        if not self.matches(push, self.secrets()):
            raise SignatureRefused("The signature does not match.")

    def secrets(self) -> list[str]:
        """The secrets that are set. Raises `SecretMissing` where there should be one."""
        found = [value for name in self.secret_names if (value := os.environ.get(name))]
        if self.secret_names and not found:
            raise SecretMissing(
                f"The environment variable {' or '.join(self.secret_names)} is not set, so no "
                f"{self.scheme} signature can be verified. Set it and start the server again."
            )
        return found


def github(*secret_names: str) -> Signature:
    """GitHub, Meta and others: `X-Hub-Signature-256: sha256=` and the HMAC of the body, hex."""
    return hmac_of_body(
        *secret_names,
        header="X-Hub-Signature-256",
        prefix="sha256=",
        delivery_headers=("X-GitHub-Delivery",),
        scheme="GitHub",
    )


def shopify(*secret_names: str) -> Signature:
    """Shopify: `X-Shopify-Hmac-Sha256`, the HMAC of the body, base64."""
    return hmac_of_body(
        *secret_names,
        header="X-Shopify-Hmac-Sha256",
        encoding="base64",
        delivery_headers=("X-Shopify-Webhook-Id",),
        scheme="Shopify",
    )


def hmac_of_body(
    *secret_names: str,
    header: str,
    digest: str = "sha256",
    encoding: str = "hex",
    prefix: str = "",
    delivery_headers: tuple[str, ...] = (),
    scheme: str = "HMAC",
) -> Signature:
    """Any scheme in which `header` is `prefix` and the HMAC of the body, `hex` or `base64`."""
    if digest not in hashlib.algorithms_available or encoding not in ("hex", "base64"):
        raise ReceiverInvalid(
            "hmac_of_body: digest= is one of hashlib's, for example sha256, and encoding= is hex "
            f"or base64; got {digest!r} and {encoding!r}."
        )

    def matches(push: Push, secrets: list[str]) -> bool:
        given = push.header(header)
        if not given.startswith(prefix):
            raise SignatureRefused(f"The header {header} does not begin with {prefix}")
        expected = (hmac.new(secret.encode(), push.body, digest).digest() for secret in secrets)
        return _agrees([given.removeprefix(prefix)], expected, encoding)

    return Signature(
        scheme=scheme,
        secret_names=_named(secret_names),
        matches=matches,
        delivery_headers=delivery_headers,
    )


def stripe(*secret_names: str) -> Signature:
    """Stripe: `Stripe-Signature: t=SECONDS,v1=HEX`, the HMAC of `t.body`."""

    def matches(push: Push, secrets: list[str]) -> bool:
        parts = [part.partition("=") for part in push.header("Stripe-Signature").split(",")]
        moment = next((value for name, _, value in parts if name.strip() == "t"), "")
        _refuse_old(moment, push)
        given = [value for name, _, value in parts if name.strip() == "v1"]
        return _agrees(given, _signed(secrets, f"{moment}.".encode(), push.body), "hex")

    return Signature(scheme="Stripe", secret_names=_named(secret_names), matches=matches)


def slack(*secret_names: str) -> Signature:
    """Slack: `X-Slack-Signature: v0=HEX`, the HMAC of `v0:time:body`; answers its challenge."""

    def matches(push: Push, secrets: list[str]) -> bool:
        moment = push.header("X-Slack-Request-Timestamp")
        _refuse_old(moment, push)
        given = [push.header("X-Slack-Signature").removeprefix("v0=")]
        return _agrees(given, _signed(secrets, f"v0:{moment}:".encode(), push.body), "hex")

    return Signature(
        scheme="Slack", secret_names=_named(secret_names), matches=matches, challenge=_slack_asks
    )


def standard_webhooks(*secret_names: str) -> Signature:
    """Standard Webhooks and Svix: `webhook-signature: v1,BASE64`, the HMAC of `id.time.body`.

    The secret is base64, with or without `whsec_` before it (standardwebhooks.com, "Signature").
    """

    def matches(push: Push, secrets: list[str]) -> bool:
        family = "svix" if "svix-signature" in push.headers else "webhook"
        delivery, moment = push.header(f"{family}-id"), push.header(f"{family}-timestamp")
        _refuse_old(moment, push)
        given = [
            each.removeprefix("v1,")
            for each in push.header(f"{family}-signature").split()
            if each.startswith("v1,")
        ]
        keys = [_key_in_base64(secret) for secret in secrets]
        return _agrees(given, _signed(keys, f"{delivery}.{moment}.".encode(), push.body), "base64")

    return Signature(
        scheme="Standard Webhooks",
        secret_names=_named(secret_names),
        matches=matches,
        delivery_headers=("webhook-id", "svix-id"),
    )


def gitlab(*secret_names: str) -> Signature:
    """GitLab: the secret itself in `X-Gitlab-Token`."""
    return token(
        *secret_names,
        header="X-Gitlab-Token",
        delivery_headers=("X-Gitlab-Event-UUID",),
        scheme="GitLab",
    )


def bearer(*secret_names: str) -> Signature:
    """The secret itself in `Authorization: Bearer …`, for senders of your own."""
    return token(*secret_names, header="Authorization", prefix="Bearer ", scheme="bearer")


def token(
    *secret_names: str,
    header: str,
    prefix: str = "",
    delivery_headers: tuple[str, ...] = (),
    scheme: str = "token",
) -> Signature:
    """Any scheme in which `header` is `prefix` and the secret itself."""

    def matches(push: Push, secrets: list[str]) -> bool:
        given = push.header(header)
        if not given.lower().startswith(prefix.lower()):
            raise SignatureRefused(f"The header {header} does not begin with {prefix.strip()}.")
        sent = given[len(prefix) :].strip().encode()
        # Digests, so that the time taken does not tell the secret's length either.
        return any(
            hmac.compare_digest(_sha256(sent), _sha256(secret.encode())) for secret in secrets
        )

    return Signature(
        scheme=scheme,
        secret_names=_named(secret_names),
        matches=matches,
        delivery_headers=delivery_headers,
    )


def unsigned() -> Signature:
    """No signature: whoever reaches the server may push. For closed networks."""
    return Signature(scheme="no", secret_names=(), matches=lambda push, secrets: True)


def _named(secret_names: tuple[str, ...]) -> tuple[str, ...]:
    if not secret_names:
        raise ReceiverInvalid(
            "A signature needs the name of the environment variable that holds its secret, for "
            'example signatures.github("SHOP_WEBHOOK_SECRET").'
        )
    for name in secret_names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ReceiverInvalid(
                "A signature takes the name of an environment variable, not the secret itself."
            )
    return secret_names


def _signed(secrets: list[str] | list[bytes], before: bytes, body: bytes) -> Iterator[bytes]:
    for secret in secrets:
        key = secret.encode() if isinstance(secret, str) else secret
        yield hmac.new(key, before + body, hashlib.sha256).digest()


def _agrees(given: list[str], expected: Iterator[bytes], encoding: str) -> bool:
    sent = [found for text in given if (found := _decoded(text, encoding)) is not None]
    return any(hmac.compare_digest(one, other) for other in expected for one in sent)


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        if encoding == "hex":
            return binascii.unhexlify(text.strip())
        return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return None


def _key_in_base64(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise SecretMissing(
            "A secret of Standard Webhooks is base64, with or without whsec_ before it; what the "
            "environment holds is not."
        ) from None


def _refuse_old(moment: str, push: Push) -> None:
    if not re.fullmatch(r"\d{1,12}", moment):
        raise SignatureRefused("The signed time is no number of seconds.")
    if abs(push.received_at.timestamp() - int(moment)) > TOLERANCE.total_seconds():
        raise SignatureRefused("The signed time is more than five minutes off.")


def _slack_asks(body: bytes) -> str | None:
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    if isinstance(asked, dict) and asked.get("type") == "url_verification":
        return str(asked.get("challenge", ""))
    return None


def _sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
