"""The market's settings, with the peer's address."""

from bench.serve.settings import *  # noqa: F403

ROOT_URLCONF = "bench.serve.strawberry_app"
