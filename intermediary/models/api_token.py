"""Keys of programs that act for a person: the API's way in."""

from django.conf import settings
from django.db import models

from intermediary.models.base import Row


class ApiToken(Row):
    """One key. The secret itself is shown once and stored nowhere; `digest` is its SHA-256.

    What it may do (`scopes`), from where (`networks`, CIDR; empty means anywhere) and until when never changes: another
    key is made instead. The database lets its owner's session revoke it, once.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    shown = models.CharField(max_length=12, help_text="first characters of the secret, by which its owner knows it")
    scopes = models.JSONField(default=list)
    networks = models.JSONField(default=list)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, help_text="to the minute")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.shown}…)"
