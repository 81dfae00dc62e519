"""From archived payloads to rows: parse, link, load, replay."""

from .registry import transform

__all__ = ["transform"]
