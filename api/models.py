"""What the API keeps in the database: the tokens that it gives out."""

from django.db import models


class Token(models.Model):
    """A token that was given out: a digest of its secret, what it may, and until when."""

    name = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    """SHA-256 of the secret, in hex. The secret itself was shown once and is nowhere."""
    scopes = models.JSONField(default=list)
    sources = models.JSONField(null=True)
    """The sources whose data it shows; null for all of them."""
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
