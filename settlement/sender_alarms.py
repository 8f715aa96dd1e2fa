"""What a person must know about the keys that send and sign: one open row a trouble, of when it began.

Nothing waits for these rows: the sender goes on trying. They say that trying alone has not helped so far.
"""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from intermediary.models.base import Row
from settlement import chains


class SenderAlarm(Row):
    """One trouble of one key, open until it is over. Its age is that of the row (`recorded_at`, wall clock)."""

    class Kind(models.TextChoices):
        FEE_CAP = "fee_cap", "A transaction waits at the highest fee that may be offered"
        NODE_REFUSES = "node_refuses", "The node refuses a signed transaction"
        NONCE = "nonce", "It is not known who used a nonce"
        SIGNER_AWAY = "signer_away", "The signer does not answer"
        SIGNER_REFUSES = "signer_refuses", "The signer refuses to sign"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    chain = models.CharField(max_length=20, default=chains.here)
    role = models.CharField(max_length=12, help_text="poster, operator or approver")
    sender = models.CharField(max_length=42, blank=True, help_text="address of the key, where it is known")
    transaction_hash = models.CharField(max_length=66, blank=True)
    detail = models.CharField(max_length=300)
    cleared_at = models.DateTimeField(null=True, help_text="wall clock")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "chain", "role", "sender"],
                condition=Q(cleared_at=None),
                name="one_open_alarm_a_trouble",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.role} on {self.chain}"


Kind = SenderAlarm.Kind
# Refusals that stop one key for a while, and what they are shown as.
KIND_OF = {
    "signer_away": Kind.SIGNER_AWAY,
    "signer_refused": Kind.SIGNER_REFUSES,
    "signer_wrong": Kind.SIGNER_REFUSES,
    "nonce_in_doubt": Kind.NONCE,
}


def tell(kind: SenderAlarm.Kind, role: str, detail: str, *, sender: str = "", transaction_hash: str = "") -> None:
    """Open the alarm, or say the latest of one that is open."""
    said = {"detail": detail[:300], "transaction_hash": transaction_hash}
    if not _open(role, sender).filter(kind=kind).update(**said):
        opened = SenderAlarm(kind=kind, role=role, sender=sender, **said)
        SenderAlarm.objects.bulk_create([opened], ignore_conflicts=True)


def clear(role: str, *kinds: SenderAlarm.Kind, sender: str = "") -> None:
    """These troubles of this key are over, or those that were told of the role without a key. What a former key of the
    role has in flight is another trouble."""
    _open(role, sender).filter(kind__in=kinds).update(cleared_at=Now())


def open_alarms() -> models.QuerySet[SenderAlarm]:
    """Every trouble that is not over, of all chains, oldest first."""
    return SenderAlarm.objects.filter(cleared_at=None).order_by("recorded_at")


def _open(role: str, sender: str) -> models.QuerySet[SenderAlarm]:
    return open_alarms().filter(chain=chains.here(), role=role, sender=sender)
