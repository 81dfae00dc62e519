"""The farm's own web site, served on loopback: the bundled origin of the `farm` source."""

from .server import Origin

__all__ = ["Origin"]
