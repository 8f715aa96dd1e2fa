"""The audit chain: who did what, each row hashing the one before, written inside the act's own transaction."""

from django.db import models
from django.db.models.functions import Now

from intermediary.models.base import PlatformNow


class AuditRecord(models.Model):
    """One act. `hash` = SHA-256(previous hash + canonical payload); the database chains and freezes it."""

    number = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=PlatformNow(), editable=False)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=120)
    payload = models.TextField(help_text="canonical JSON")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-number"]
