"""What comparing the ledger with the chain leaves behind: runs, what differed, a report a day, and what each client may
see of its own vaults.

A break is open until a later run agrees. Every kind has an owner, the desk that must clear it, and an action, what that
desk does first; both are part of the kind, so that no break is nobody's.
"""

from django.db import models
from django.db.models import Q

from intermediary.models import Asset, Cell, ChainTarget
from intermediary.models.base import BaseUnitsField, Row
from intermediary.money import from_base_units
from settlement import chains
from settlement.chain_rows import OfThisChain


def exactly(amount_base_units: int, asset: Asset) -> str:
    """An amount to the last digit, with its unit: what differs may differ there."""
    return f"{from_base_units(amount_base_units, asset.decimals):,f} {asset.code}"


class ReconciliationRun(Row):
    """One comparison of the ledger with the chain at a final block."""

    block_number = models.PositiveBigIntegerField()
    block_hash = models.CharField(max_length=66)
    comparisons = models.PositiveIntegerField()
    breaks = models.PositiveIntegerField()
    chain = models.CharField(max_length=20, default=chains.here)
    by_hand = models.BooleanField(default=False, help_text="of a command: the blocks before it may not be compared yet")

    objects = OfThisChain["ReconciliationRun"]()
    everywhere = models.Manager["ReconciliationRun"]()

    class Meta:
        ordering = ["-id"]


class ReconciliationBreak(Row):
    """A disagreement, open until a later run agrees. Its age is that of the row."""

    class Kind(models.TextChoices):
        AMOUNT = "amount", "Balance differs"
        FEE_ON_TRANSFER = "fee_on_transfer", "Less arrived than the token or the ledger says was sent"
        DUST = "dust", "Balance differs by less than any payment"
        MISSING_IN_LEDGER = "missing_in_ledger", "On chain, not in the ledger"
        MISSING_ON_CHAIN = "missing_on_chain", "In the ledger, not on chain"
        DUPLICATE = "duplicate", "On chain twice"
        HEAD = "head", "Hash chain of batches differs"
        REORG = "reorg", "A final block of ours is not on the chain"
        UNKNOWN_SENDER = "unknown_sender", "Deposit in suspense: of an unknown sender, or not to be counted"
        NOT_APPLIED = "not_applied", "A final event the ledger could not take"
        APPROVAL = "approval", "The approver refused"
        WITNESSES = "witnesses", "Nodes disagree on the final block"
        CALL = "call", "The chain refuses a call or a signed batch"
        DELIVERY = "delivery", "An event that a part of the platform could not take"

    # Who clears it, and what they do first.
    DUTIES = {
        Kind.AMOUNT: ("settlement desk", "Read the transfers of this address since the last block that agreed."),
        Kind.FEE_ON_TRANSFER: ("settlement desk", "Stop new credits in this token; the issuer says what it takes."),
        Kind.DUST: (
            "settlement desk",
            "Ask the issuer whether balances of this token change by themselves.",
        ),
        Kind.MISSING_IN_LEDGER: (
            "engineering",
            "Stop the poster: somebody else signs with its key, or a row is lost.",
        ),
        Kind.MISSING_ON_CHAIN: ("engineering", "Look for the transaction; nothing is booked again before it is found."),
        Kind.DUPLICATE: (
            "engineering",
            "Stop the poster, take the approver's key out of use, claim the second back.",
        ),
        Kind.HEAD: ("engineering", "Stop the poster; compare the house's batches one by one from the last equal head."),
        Kind.REORG: (
            "engineering",
            "Stop poster and approver; ask two more nodes which block the chain has; no command takes this back.",
        ),
        Kind.UNKNOWN_SENDER: ("onboarding", "Have the client prove the sending wallet, or return the tokens."),
        Kind.NOT_APPLIED: ("settlement desk", "Read why on the page Stuck; it is tried again with every final block."),
        Kind.APPROVAL: ("operations", "Two people try the call again or let it fail, on the page Stuck."),
        Kind.WITNESSES: ("engineering", "Nothing leaves meanwhile; find out which node is on another chain."),
        Kind.CALL: ("operations", "Two people try the call again or let it fail, on the page Stuck."),
        Kind.DELIVERY: ("engineering", "Deliver it again from the page Stuck, when the reason is gone."),
    }

    IN_BASE_UNITS = (Kind.AMOUNT, Kind.FEE_ON_TRANSFER, Kind.DUST, Kind.UNKNOWN_SENDER)

    kind = models.CharField(max_length=20, choices=Kind.choices)
    place = models.CharField(max_length=120, help_text="what was compared")
    cell = models.ForeignKey(Cell, models.PROTECT, null=True, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, null=True, related_name="+")
    ledger_value = models.CharField(max_length=100)
    chain_value = models.CharField(max_length=100)
    first_block = models.PositiveBigIntegerField()
    resolved_block = models.PositiveBigIntegerField(null=True)
    chain = models.CharField(max_length=20, default=chains.here)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["chain", "kind", "place"],
                condition=Q(resolved_block__isnull=True),
                name="one_open_break_a_place",
            )
        ]

    @property
    def owner(self) -> str:
        """The desk that has to clear it."""
        return self.DUTIES[self.Kind(self.kind)][0]

    @property
    def action(self) -> str:
        """What that desk does first."""
        return self.DUTIES[self.Kind(self.kind)][1]

    @property
    def ledger_shown(self) -> str:
        """The ledger's side with its unit, to the last digit."""
        return self._shown(self.ledger_value)

    @property
    def chain_shown(self) -> str:
        """The chain's side likewise."""
        return self._shown(self.chain_value)

    def _shown(self, value: str) -> str:
        if self.asset is None or self.kind not in self.IN_BASE_UNITS or not value.removeprefix("-").isdigit():
            return value
        return exactly(int(value), self.asset)


class ReconciliationReport(Row):
    """The comparison that closes a day: the first one at a final block of a later day, UTC. Written once, it stays."""

    day = models.DateField(help_text="UTC, of the chain's blocks")
    chain = models.CharField(max_length=20, default=chains.here)
    block_number = models.PositiveBigIntegerField()
    block_hash = models.CharField(max_length=66)
    block_time = models.DateTimeField()
    comparisons = models.PositiveIntegerField()
    breaks = models.PositiveIntegerField()
    body = models.JSONField(help_text="totals of both sides by place and asset, and every open break; base units")

    objects = OfThisChain["ReconciliationReport"]()
    everywhere = models.Manager["ReconciliationReport"]()

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["chain", "day"], name="one_report_a_day")]


class ComparedVault(Row):
    """What the ledger and the chain last said of one vault or retention: for its own client to read."""

    target = models.OneToOneField(ChainTarget, models.PROTECT, related_name="compared")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    ledger_base_units = BaseUnitsField()
    chain_base_units = BaseUnitsField()
    ledger_seq = models.PositiveBigIntegerField(null=True, help_text="last movement by the ledger; of vaults")
    chain_seq = models.PositiveBigIntegerField(null=True)
    block_number = models.PositiveBigIntegerField(help_text="where this was first so; every later run found the same")

    @property
    def ledger_shown(self) -> str:
        """The ledger's side to the last digit."""
        return exactly(self.ledger_base_units, self.target.asset)

    @property
    def chain_shown(self) -> str:
        """The chain's side likewise."""
        return exactly(self.chain_base_units, self.target.asset)


class VaultStatement(Row):
    """A vault's latest margin statement under a root that is final on chain, as its client downloads it."""

    target = models.OneToOneField(ChainTarget, models.PROTECT, related_name="statement")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    batch_number = models.PositiveBigIntegerField()
    body = models.JSONField(help_text="see settlement.statements.document")
