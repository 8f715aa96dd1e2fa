"""The journal: assets, accounts, entries, postings. Written by `intermediary.ledger` alone.

An entry belongs to one cell; its postings and their accounts carry that cell in composite keys, so an entry over two
relationships cannot be written down (I3, E4). Postings are signed and sum to zero per asset. The database, not the
application, keeps the balances.
"""

from django.db import models

from intermediary.models.base import BaseUnitsField, Row
from intermediary.models.cell import Cell


class Asset(models.Model):
    """A token that margin or cash can be held in."""

    code = models.CharField(primary_key=True, max_length=8)
    decimals = models.PositiveSmallIntegerField()
    is_settlement = models.BooleanField(default=False, help_text="variation margin and losses are paid in it")
    priced_as = models.CharField(max_length=12, blank=True, help_text="underlying that prices it; empty: one dollar")
    token_address = models.CharField(max_length=42, blank=True)
    chain = models.CharField(max_length=20, blank=True, help_text="where the token lies; empty: on the first chain")

    def __str__(self) -> str:
        return self.code


class AccountKind(models.TextChoices):
    """The chart. The comment says where the tokens lie; nominal accounts hold none."""

    CLIENT_MARGIN = "client_margin"  # vault
    SUSPENSE = "suspense"  # vault: a deposit from an unknown sender
    HOUSE = "house"  # house contract: seized margin, surplus to return
    SUSPENSE_TAKEN = "suspense_taken"  # house contract: what a cure or a seizure took of suspense, to go back there
    FLOAT = "float"  # house contract: the committed liquidity float
    FEES = "fees"  # house contract
    INTEREST = "interest"  # house contract
    RECOVERY = "recovery"  # house contract: received, not yet passed on
    ROUNDING = "rounding"  # house contract: residues of settlement
    FIRST_LOSS = "first_loss"  # retention contract
    SENIOR_RETENTION = "senior_retention"  # retention contract
    ESCROW = "escrow"  # series escrow: principal of a slice
    COUPONS = "coupons"  # series escrow: coupons of a slice
    IN_TRANSIT = "in_transit"  # instructed, not yet final
    OUTSIDE = "outside"  # nominal: counterpart of tokens that entered or left
    EQUITY = "equity"  # nominal: capital contributed
    CREDIT_EXTENDED = "credit_extended"  # nominal: claim on the client
    UNCOVERED_CLAIMS = "uncovered_claims"  # nominal: limited-recourse claims of linked lots
    COSTS = "costs"  # nominal
    LOSS = "loss"  # nominal
    VENUE = "venue"  # held at a venue: hedges


VAULT_KINDS = (AccountKind.CLIENT_MARGIN, AccountKind.SUSPENSE)
HOUSE_KINDS = (
    AccountKind.HOUSE,
    AccountKind.SUSPENSE_TAKEN,
    AccountKind.FLOAT,
    AccountKind.FEES,
    AccountKind.INTEREST,
    AccountKind.RECOVERY,
    AccountKind.ROUNDING,
)
RETENTION_KINDS = (AccountKind.FIRST_LOSS, AccountKind.SENIOR_RETENTION)
ESCROW_KINDS = (AccountKind.ESCROW, AccountKind.COUPONS)


class Account(Row):
    """A balance of one asset, of one kind, in one cell."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="accounts")
    kind = models.CharField(max_length=20, choices=AccountKind.choices)
    asset = models.ForeignKey(Asset, models.PROTECT)
    balance_base_units = BaseUnitsField(default=0)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cell", "kind", "asset"], name="account_once")]

    def __str__(self) -> str:
        return f"{self.cell} {AccountKind(self.kind).label.lower()} {self.asset_id}"


class JournalEntry(Row):
    """One balanced, immutable fact. Its id is made by whoever causes it: the same id twice is the same fact."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="entries", db_index=False)
    kind = models.CharField(max_length=32)
    memo = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    line_count = models.PositiveSmallIntegerField(help_text="how many postings it has, for good")

    class Meta:
        verbose_name_plural = "journal entries"
        indexes = [models.Index(fields=["cell", "-at"])]

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.id}"


class Posting(Row):
    """One line of an entry. Balances and version are filled in by the database, which holds it to the account of its
    cell and asset and to the entry of its cell (intermediary/sql/0020)."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+", db_constraint=False)
    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="postings", db_constraint=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="postings", db_constraint=False, db_index=False)
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    amount_base_units = BaseUnitsField()
    balance_before_base_units = BaseUnitsField(default=0)
    balance_after_base_units = BaseUnitsField(default=0)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "version"], name="posting_version_once")]
