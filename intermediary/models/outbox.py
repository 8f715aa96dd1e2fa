"""Effects to come: instructions for the chain, events for the other parts of the platform.

Both are rows of the transaction that caused them, so nothing is told that did not happen and nothing that happened
goes untold. `settlement` turns instructions into batches and transactions; consumers take deliveries.
"""

from django.db import models

from intermediary.models.base import BaseUnitsField, Row
from intermediary.models.cell import Cell
from intermediary.models.journal import Asset, JournalEntry


class ChainTarget(Row):
    """A contract that instructions go to. `next_seq` is given out under this row's lock: strictly sequential."""

    class Kind(models.TextChoices):
        VAULT = "VAULT", "Margin vault"
        RETENTION = "RETENTION", "Retention"
        ESCROW = "ESCROW", "Series escrow"
        NOTE = "NOTE", "Note"
        HOUSE = "HOUSE", "House"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="chain_targets")
    asset = models.ForeignKey(Asset, models.PROTECT)
    address = models.CharField(max_length=42, unique=True)
    next_seq = models.PositiveIntegerField(default=1)
    opened = models.BooleanField(default=False, help_text="its code was seen on chain")
    creation = models.JSONField(default=dict, help_text="arguments that the address commits to")

    class Meta:
        indexes = [models.Index(fields=["kind", "asset"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"


class ChainInstruction(Row):
    """One movement or call to make on chain, exactly once (target, seq)."""

    class Kind(models.TextChoices):
        REQUIRE = "REQUIRE", "Set required margin"
        CREDIT = "CREDIT", "House to vault"
        DEBIT = "DEBIT", "Vault to house"
        RETURN = "RETURN", "Vault to payout address"
        NOTICE = "NOTICE", "Default notice"
        SEIZE = "SEIZE", "Seize margin"
        RELEASE_NOTICE = "RELEASE_NOTICE", "Withdraw default notice"
        FUND = "FUND", "Fund retention"
        APPLY = "APPLY", "Pay a loss from retention"
        RESTORE = "RESTORE", "Restore retention from a recovery"
        NOTICE_LOSS = "NOTICE_LOSS", "Notify a loss of a slice"
        APPLY_LOSS = "APPLY_LOSS", "Write down a slice"
        WRITE_UP = "WRITE_UP", "Write up a slice"
        COUPON = "COUPON", "Pay a coupon"
        REPAY = "REPAY", "Repay principal"
        DISPOSE = "DISPOSE", "Pay out of the house"

    class State(models.TextChoices):
        DRAFT = "DRAFT", "Waiting to be approved"
        BATCHED = "BATCHED", "In a batch"
        INCLUDED = "INCLUDED", "Seen on chain"
        FINAL = "FINAL", "Final"
        FAILED = "FAILED", "Failed on chain"

    UNFINISHED = (State.DRAFT, State.BATCHED, State.INCLUDED)

    target = models.ForeignKey(ChainTarget, models.PROTECT, related_name="instructions", db_index=False)
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="instructions", db_index=False)
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    amount_base_units = BaseUnitsField(default=0)
    required_base_units = BaseUnitsField(default=0)
    arguments = models.JSONField(default=dict)
    entry = models.ForeignKey(JournalEntry, models.PROTECT, null=True, related_name="instructions", db_constraint=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    is_open = models.GeneratedField(  # what is unfinished is found by it: see the indexes
        expression=models.ExpressionWrapper(models.Q(state__in=UNFINISHED), models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    failure = models.CharField(max_length=200, blank=True)
    transaction_hash = models.CharField(max_length=66, blank=True)
    final_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "seq"], name="instruction_seq_once")]
        # None names `state`: a row that goes from one unfinished state to the next stays in its page, and no index is
        # written for it. Whoever looks for unfinished ones asks for `is_open` too.
        indexes = [
            models.Index(
                fields=["recorded_at", "seq", "id"], name="unfinished_in_order", condition=models.Q(is_open=True)
            ),
            models.Index(fields=["target", "seq"], name="unfinished_of_target", condition=models.Q(is_open=True)),
            models.Index(
                fields=["target", "seq"],
                name="unfinished_single_calls",
                condition=models.Q(is_open=True) & ~models.Q(kind__in=["REQUIRE", "CREDIT", "DEBIT", "RETURN"]),
            ),
            models.Index(fields=["target", "at"], name="debits_of_a_vault_by_time", condition=models.Q(kind="DEBIT")),
        ]


class Event(Row):
    """Something that happened in the business and that another part may act on."""

    kind = models.CharField(max_length=40)
    cell = models.ForeignKey(Cell, models.PROTECT, null=True, related_name="events")
    payload = models.JSONField()


class Delivery(Row):
    """One consumer's copy of an event: claimed with SKIP LOCKED, done once."""

    class State(models.TextChoices):
        PENDING = "PENDING"
        DONE = "DONE"
        FAILED = "FAILED"

    event = models.ForeignKey(Event, models.PROTECT, related_name="deliveries")
    consumer = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["event", "consumer"], name="delivery_once")]
        indexes = [models.Index(fields=["consumer", "state", "id"])]
