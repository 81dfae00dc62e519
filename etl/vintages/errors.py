"""Why there is no vintage."""


class VintageRefused(Exception):
    """The rows of a moment cannot be had; the message says why, for whoever asked."""
