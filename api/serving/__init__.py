"""What stands in front of Django's handling of GraphQL: the door, and what passes through it."""

THROUGH = "rootcellar.door"
"""Set in the ASGI scope of what went through the door."""
ERRORS = "rootcellar.errors"
"""Set in the ASGI scope by the view whose answer holds errors."""
