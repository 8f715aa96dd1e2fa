"""Signed terms. What moves money is in them, hashed; there is no side letter (D5).

Terms are versioned canonical JSON; both sides sign the hash, and the hash stands in the vault's terms on chain. Beside
them the engine reads only the caps that a vault's address commits to: the lower one holds. `intermediary.terms` gives
the body its types.
"""

from django.db import models

from intermediary.models.base import Row
from intermediary.models.cell import Cell


class TermsVersion(Row):
    """One version of a relationship's terms; immutable once written."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="terms_versions")
    version = models.PositiveIntegerField()
    body = models.TextField(help_text="canonical JSON")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the body; the database recomputes it")
    client_signer = models.CharField(max_length=42)
    client_signature = models.CharField(max_length=132, help_text="EIP-712")
    house_signer = models.CharField(max_length=42)
    house_signature = models.CharField(max_length=132, help_text="EIP-712")

    class Meta:
        ordering = ["cell", "-version"]
        constraints = [models.UniqueConstraint(fields=["cell", "version"], name="terms_version_once")]

    def __str__(self) -> str:
        return f"{self.cell} terms v{self.version}"
