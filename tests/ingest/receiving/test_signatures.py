"""Signatures: the schemes' own published examples, and every way of not having the secret."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from ingest import signatures
from ingest.errors import ReceiverInvalid, SecretMissing, SignatureRefused
from ingest.receiving.signatures import Push

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmib"
    b"IGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def push(body, headers, *, at=1_700_000_000):
    return Push(
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        received_at=datetime.fromtimestamp(at, UTC),
    )


def hexed(secret, message):
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def in_base64(secret, message):
    return base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()


# The first three are the examples that the schemes' own documents give.
GOOD = {
    "github": (
        signatures.github("PUSH_SECRET"),
        "It's a Secret to Everybody",
        push(
            b"Hello, World!",
            {
                "X-Hub-Signature-256": "sha256="
                "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
            },
        ),
    ),
    "slack": (
        signatures.slack("PUSH_SECRET"),
        "8f742231b10e8888abcd99yyyzzz85a5",
        push(
            SLACK_BODY,
            {
                "X-Slack-Request-Timestamp": "1531420618",
                "X-Slack-Signature": "v0="
                "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            },
            at=1_531_420_618,
        ),
    ),
    "standard webhooks": (
        signatures.standard_webhooks("PUSH_SECRET"),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        push(
            b'{"test": 2432232314}',
            {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "webhook-timestamp": "1614265330",
                "webhook-signature": "v1,bm9ldHUjKzFob2VudXRodWV0aHU= "
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v2,x",
            },
            at=1_614_265_400,
        ),
    ),
    "stripe": (
        signatures.stripe("PUSH_SECRET"),
        "whsec_test",
        push(
            b"{}",
            {
                "Stripe-Signature": f"t=1700000000,v1={'0' * 64},"
                f"v1={hexed(b'whsec_test', b'1700000000.{}')},v0=old"
            },
        ),
    ),
    "shopify": (
        signatures.shopify("PUSH_SECRET"),
        "hush",
        push(b"{}", {"X-Shopify-Hmac-Sha256": in_base64(b"hush", b"{}")}),
    ),
    "gitlab": (signatures.gitlab("PUSH_SECRET"), "hush", push(b"", {"X-Gitlab-Token": "hush"})),
    "bearer": (
        signatures.bearer("PUSH_SECRET"),
        "hush",
        push(b"{}", {"Authorization": "bearer hush"}),
    ),
    "any header": (
        signatures.hmac_of_body("PUSH_SECRET", header="X-Sum", digest="sha1", prefix="s="),
        "hush",
        push(b"{}", {"X-Sum": "s=" + hmac.new(b"hush", b"{}", "sha1").hexdigest()}),
    ),
}


@pytest.fixture(params=GOOD)
def scheme(request, monkeypatch):
    signature, secret, good = GOOD[request.param]
    monkeypatch.setenv("PUSH_SECRET", secret)
    return signature, good


def changed(good, *, body=None, headers=None):
    return Push(
        headers=good.headers if headers is None else headers,
        body=good.body if body is None else body,
        received_at=good.received_at,
    )


def test_what_somebody_who_knows_the_secret_sent_is_taken(scheme):
    signature, good = scheme

    signature.verify(good)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"gitlab", "bearer"}))
def test_another_body_is_refused(name, monkeypatch):
    signature, secret, good = GOOD[name]
    monkeypatch.setenv("PUSH_SECRET", secret)

    with pytest.raises(SignatureRefused, match="does not match"):
        signature.verify(changed(good, body=good.body + b" "))


def test_another_secret_is_refused(scheme, monkeypatch):
    signature, good = scheme
    monkeypatch.setenv("PUSH_SECRET", "d2hhdGV2ZXI=")

    with pytest.raises(SignatureRefused, match="does not match"):
        signature.verify(good)


def test_a_push_without_the_header_is_refused_and_told_which(scheme):
    signature, good = scheme

    with pytest.raises(SignatureRefused, match=r"header .+ is missing"):
        signature.verify(changed(good, headers={}))


@pytest.mark.parametrize("value", ["", "sha256=", "v0=", "t=,v1=", "sha256=zz", "v1,***", "\xff"])
def test_nonsense_in_the_header_is_refused(scheme, value):
    signature, good = scheme
    nonsense = dict.fromkeys(good.headers, value)

    with pytest.raises(SignatureRefused):
        signature.verify(changed(good, headers=nonsense))


@pytest.mark.parametrize("name", ["slack", "stripe", "standard webhooks"])
@pytest.mark.parametrize("seconds", [-400, 400])
def test_what_was_signed_long_ago_or_in_the_future_is_refused(name, seconds, monkeypatch):
    signature, secret, good = GOOD[name]
    monkeypatch.setenv("PUSH_SECRET", secret)
    late = Push(
        headers=good.headers,
        body=good.body,
        received_at=datetime.fromtimestamp(good.received_at.timestamp() + seconds, UTC),
    )

    with pytest.raises(SignatureRefused, match="five minutes"):
        signature.verify(late)


def test_while_a_secret_is_replaced_either_holds(monkeypatch):
    monkeypatch.setenv("NEW_SECRET", "new")
    monkeypatch.setenv("OLD_SECRET", "old")
    signature = signatures.gitlab("NEW_SECRET", "OLD_SECRET")

    for secret in ("new", "old"):
        signature.verify(push(b"", {"X-Gitlab-Token": secret}))


def test_without_its_secret_nothing_is_taken_and_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("PUSH_SECRET", raising=False)
    empty = push(b"", {"X-Hub-Signature-256": "sha256=" + hexed(b"", b"")})

    with pytest.raises(SecretMissing, match="PUSH_SECRET is not set"):
        signatures.github("PUSH_SECRET").verify(empty)


def test_an_empty_secret_is_none(monkeypatch):
    monkeypatch.setenv("PUSH_SECRET", "")
    empty = push(b"", {"X-Hub-Signature-256": "sha256=" + hexed(b"", b"")})

    with pytest.raises(SecretMissing):
        signatures.github("PUSH_SECRET").verify(empty)


def test_a_secret_in_place_of_its_name_is_refused_without_being_shown():
    with pytest.raises(ReceiverInvalid) as caught:
        signatures.github("s3cr3t-value!")

    assert "s3cr3t" not in str(caught.value)
