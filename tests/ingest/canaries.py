"""Secrets in every place of a request they may stand; `answering_canaries` has the other shapes.

A canary is two random words with a tail of its shape's own between them, so that half of one left
behind is found whatever happened to the characters in the middle.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ingest import Secrets

from .origin import Origin, response

Plant = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Canary:
    """One planted secret."""

    middle: str = ""
    words: tuple[str, str] = field(
        default_factory=lambda: (f"c4{secrets.token_hex(8)}", f"y7{secrets.token_hex(8)}")
    )

    def __str__(self) -> str:
        return self.middle.join(self.words)

    @property
    def encoded(self) -> str:
        return quote(str(self), safe="")


@dataclass(frozen=True)
class Shape:
    """One way to give a secret away."""

    name: str
    plant: Plant
    middle: str
    declaration: dict[str, Any]


SHAPES: dict[str, Shape] = {}
NASTY = "p@s:s/w?o#r&d=é\"'<%"


def shape(*, middle: str = "", **declaration) -> Callable[[Plant], Plant]:
    """Register `plant(client, origin, canary)` under its own name."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        name = name.replace("_", " ") if name.isidentifier() else name
        assert name not in SHAPES, name
        SHAPES[name] = Shape(name, plant, middle, declaration)
        return plant

    return register


def request_header(name: str, value: str, *, label: str | None = None, **declaration) -> None:
    """A shape: a header of a request, `%s` in its value."""

    async def plant(client, origin: Origin, canary: Canary) -> None:
        await client.get(origin.answer("/", response(b"{}")), headers={name: value % canary})

    plant.__name__ = f"request header {label or name}"
    shape(**declaration)(plant)


def address(label: str, target: str, *, middle: str = "", encode: bool = False, **declaration):
    """A shape: an address, `%s` in its target."""

    async def plant(client, origin: Origin, canary: Canary) -> None:
        secret = canary.encoded if encode else str(canary)
        target_now = target.replace("%s", secret)
        origin.answer(target_now.partition("#")[0], response(b"{}"))
        await client.get(origin.url(target_now))

    plant.__name__ = f"address {label}"
    shape(middle=middle, **declaration)(plant)


def request_body(label: str, content_type: str | None, body: str, **declaration) -> None:
    """A shape: the body of a request, `%s` in it."""

    async def plant(client, origin: Origin, canary: Canary) -> None:
        headers = {"Content-Type": content_type} if content_type else None
        content = body.replace("%s", str(canary)).encode()
        await client.post(origin.answer("/", response(b"{}")), content=content, headers=headers)

    plant.__name__ = f"request body {label}"
    shape(**declaration)(plant)


request_header("Authorization", "Bearer %s", label="Bearer")
request_header("Authorization", "Token token=%s", label="Token")
request_header("Authorization", "%s", label="without a scheme")
request_header("Authorization", "Mystery %s", label="of an unknown scheme")
request_header("Authorization", 'Digest username="u", nonce="n", response="%s"', label="Digest")
request_header(
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIA/20261122/eu/s3/aws4_request, SignedHeaders=host, "
    "Signature=%s",
    label="AWS4",
)
request_header("Proxy-Authorization", "Basic %s")
request_header("Cookie", "theme=dark; sid=%s; lang=en")
request_header("Cookie", "%s", label="Cookie without a name")
request_header("X-Api-Key", "%s")
request_header("X-Auth-Token", "%s")
request_header("X-Vault-Token", "%s")
request_header("Ocp-Apim-Subscription-Key", "%s")
request_header("PRIVATE-TOKEN", "%s")
request_header("DD-APPLICATION-KEY", "%s")
request_header("Referer", "https://a.example/?access_token=%s&page=2")
request_header("X-Original-Url", "/p?page=2&api_key=%s")
request_header("X-Debug", "password=%s")
request_header("X-Debug", '{"password": "%s"}', label="X-Debug with JSON")
request_header("X-Credential-Of-Mine", "Bearer %s")
request_header("X-Forwarded", "Bearer %s", label="with a credential")
request_header("Forwarded", "for=1;secret=%s")
request_header("X-Forwarded-Claims", "eyJhbGciOiJIUzI1NiJ9.%s.c2ln", label="JWT under any name")
request_header("X-Farm-Gate", "%s", label="by rule", secrets=Secrets(headers=["x-farm-gate"]))

for _name in ("api_key", "token", "access_token", "client_secret", "X-Amz-Signature", "sig"):
    address(f"parameter {_name}", f"/p?page=2&{_name}=%s&z=1")
address("parameter percent-encoded", "/p?api%5Fkey=%s")
address("parameter in brackets", "/p?user%5Bpassword%5D=%s")
address("parameter of nasty characters", "/p?password=%s&z=1", middle=NASTY, encode=True)
address("parameter with raw separators", "/p?password=%s&z=1", middle=",;:'()*!")
address("parameter within a redirect", "/p?next=https://a.example/?token=%s")
address("parameter encoded within a redirect", "/p?next=https%3A%2F%2Fa.example%2F%3Ftoken%3D%s")
address(
    "parameter encoded twice",
    "/p?next=https%253A%252F%252Fa.example%252F%253Fpage%253D1%2526token%253D%s%2526z%253D1&y=1",
)
address("user information within a redirect", "/p?next=https%3A%2F%2Fu%3A%s%40a.example%2F")
address("parameter of JSON", '/p?q={"password":"%s"}')
address("parameter of encoded JSON", "/p?q=%7B%22password%22%3A%22%s%22%7D&z=1")
address("fragment", "/p#access_token=%s&state=1")
address("matrix parameter", "/p;jsessionid=%s/q")
address("path by rule", "/bot%s/sendMessage", secrets=Secrets(paths=["/bot{secret}/"]))
address("end of a path by rule", "/hooks/%s", secrets=Secrets(paths=["/hooks/{secret}"]))
address("pattern by rule", "/x-%s-x/p", secrets=Secrets(patterns=[r"/x-(\w+)-x/"]))
address("parameter by rule", "/p?ticket_no=%s", secrets=Secrets(parameters=["ticketNo"]))
address("JWT in the path", "/verify/eyJhbGciOiJIUzI1NiJ9.%s.c2ln")
address("Discord's webhook", "/api/webhooks/123456/%s")

FORM = "application/x-www-form-urlencoded"
request_body("form", FORM, "page=2&password=%s&z=1")
request_body("form with raw separators", FORM, "page=2&password=%s&z=1", middle=",;'")
request_body("form without a type", None, "page=2&client_secret=%s")
request_body("JSON", "application/json", '{"user": {"name": "a", "password": "%s"}, "page": 2}')
request_body("JSON without a type", "text/plain", ' {"apiKey":"%s"}')
request_body("JSON below a secret name", "application/json", '{"credentials": {"a": ["%s"]}}')
request_body("JSON within JSON", "application/json", '{"payload": "{\\"password\\": \\"%s\\"}"}')
request_body("JSON pairs", "application/json", '[["password", "%s"], ["page", 2]]')
request_body("JSON names and values", "application/json", '{"name": "password", "value": "%s"}')
request_body("JSON with a credential", "application/json", '{"note": "Bearer %s"}')
request_body("plain text", "text/plain", "user: a\npassword: %s\n")
request_body("form of JSON", None, "payload=%7B%22password%22%3A%22%s%22%7D")
request_body("JSON cut off", "application/json", '{"page": 2, "password": "%s')
request_body("NDJSON", "application/x-ndjson", '{"page": 1}\n{"secret": "%s"}\n')
request_body(
    "field by rule", "application/json", '{"pin_code": "%s"}', secrets=Secrets(fields=["pinCode"])
)
request_body(
    "GraphQL variables",
    "application/json",
    '{"query": "mutation($p: String!) {a(p: $p)}", "variables": {"password": "%s"}}',
)
request_body(
    "GraphQL literal",
    "application/json",
    '{"query": "mutation { logIn(name: \\"a\\", password: \\"%s\\") { id } }"}',
)
request_body(
    "multipart",
    "multipart/form-data; boundary=xx",
    '--xx\r\nContent-Disposition: form-data; name="token"\r\n\r\n%s\r\n--xx--\r\n',
    middle="\r\n--x",
)
request_body(
    "JSON in a part",
    "multipart/form-data; boundary=xx",
    '--xx\r\nContent-Disposition: form-data; name="doc"\r\nContent-Type: application/json\r\n\r\n'
    '{"password": "%s"}\r\n--xx--\r\n',
)
request_body(
    "WS-Security",
    "application/soap+xml",
    '<s:Envelope><wsse:UsernameToken><wsse:Username>a</wsse:Username><wsse:Password Type="t">%s'
    "</wsse:Password></wsse:UsernameToken></s:Envelope>",
)
request_body("XML attribute", "text/xml", '<login user="a" password="%s"/>')
request_body("XML of named entries", "text/xml", '<map><entry key="password">%s</entry></map>')
request_body(
    "XML-RPC",
    "text/xml",
    "<member><name>password</name><value><string>%s</string></value></member>",
)
request_body("refresh token", FORM, "grant_type=refresh_token&refresh_token=%s")
request_body("client assertion", FORM, "client_assertion=eyJhbGciOiJIUzI1NiJ9.%s.c2ln")
