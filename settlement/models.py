"""What settlement remembers: what it wants signed, what it sent, what it saw, and what did not agree.

The unique keys are the safety: a batch number once a house, a contract's sequence number once a live movement, a
nonce once a sender, a log once a block. Rows are never deleted; a block that the chain dropped stays, not canonical.
"""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from intermediary.models import Asset, Cell, ChainInstruction, ChainTarget, Proposal
from intermediary.models.base import BaseUnitsField, Row
from settlement import chains
from settlement.acts.rows import ChainAct as ChainAct
from settlement.breaks import ComparedVault as ComparedVault
from settlement.breaks import ReconciliationBreak as ReconciliationBreak
from settlement.breaks import ReconciliationReport as ReconciliationReport
from settlement.breaks import ReconciliationRun as ReconciliationRun
from settlement.breaks import VaultStatement as VaultStatement
from settlement.breaks import exactly
from settlement.chain_rows import NotDenied, OfThisChain
from settlement.sender_alarms import SenderAlarm as SenderAlarm
from settlement.signed import SignedMovement as SignedMovement


class Deployment(Row):
    """One contract or named account of this platform on its chain."""

    name = models.CharField(max_length=40, help_text="House, VaultFactory, Token, AccessManager, payee:market, ...")
    asset = models.ForeignKey(Asset, models.PROTECT, null=True, related_name="+")
    address = models.CharField(max_length=42)
    block_number = models.PositiveBigIntegerField(help_text="head when it was recorded: watching starts here")
    chain = models.CharField(max_length=20, default=chains.here)

    objects = OfThisChain["Deployment"]()
    everywhere = models.Manager["Deployment"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain", "name", "asset"], name="deployed_once", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.asset_id or ''} {self.address}"


class Approval(Row):
    """Something the second key must sign: asked for by the poster, answered by the approver alone."""

    class Kind(models.TextChoices):
        BATCH = "BATCH", "Batch of movements"
        CLAIM = "CLAIM", "Default claim"
        CAP = "CAP", "Outflow cap at once"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    body = models.JSONField(help_text="EIP-712 message, complete")
    instruction = models.ForeignKey(
        ChainInstruction, models.PROTECT, null=True, related_name="approvals", help_text="of a claim"
    )
    act = models.ForeignKey(ChainAct, models.PROTECT, null=True, related_name="approvals", help_text="of a cap")
    signer = models.CharField(max_length=42, blank=True)
    signature = models.CharField(max_length=132, blank=True)
    signed_at = models.DateTimeField(null=True)
    refusal = models.JSONField(null=True, help_text="instruction id -> why the ledger does not show it")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="approval_signed_or_refused_or_neither", condition=Q(signature="") | Q(refusal__isnull=True)
            ),
            models.CheckConstraint(
                name="approval_names_its_cause",
                condition=Q(kind="CLAIM", instruction__isnull=False, act__isnull=True)
                | Q(kind="BATCH", instruction__isnull=True, act__isnull=True)
                | Q(kind="CAP", instruction__isnull=True, act__isnull=False),
            ),
        ]
        indexes = [  # of the few that somebody asks for: an approval is answered within a second, and none ever goes
            models.Index(fields=["id"], name="unanswered_approvals", condition=Q(signature="", refusal__isnull=True)),
            models.Index(fields=["id"], name="refused_approvals", condition=Q(refusal__isnull=False)),
        ]


class Batch(Row):
    """Movements that go to one house together, under the next batch number of its contract."""

    class State(models.TextChoices):
        PACKED = "PACKED", "Waiting for the approver or the chain"
        INCLUDED = "INCLUDED", "Seen on chain"
        FINAL = "FINAL", "Final"
        REFUSED = "REFUSED", "Refused by the approver"

    house = models.ForeignKey(ChainTarget, models.PROTECT, related_name="batches")
    number = models.PositiveBigIntegerField()
    statement = models.CharField(max_length=66, help_text="Merkle root of `leaves`")
    leaves = models.JSONField(help_text="margin statement of each vault's cell; see settlement.statements")
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="batch")
    head = models.CharField(max_length=66, blank=True, help_text="the house's hash chain after it")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PACKED)
    refusals = models.PositiveIntegerField(default=0, help_text="how often the chain would not take it, signed")
    refused_at = models.DateTimeField(null=True, help_text="when that was last counted, wall clock")
    refusal = models.CharField(max_length=200, blank=True, help_text="why, the last time")
    handed_out = models.BooleanField(default=False, help_text="final, and each vault has its statement")

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["house", "number"], condition=~Q(state="REFUSED"), name="batch_number_once")
        ]
        indexes = [
            models.Index(fields=["house", "number"], name="batches_on_their_way", condition=Q(state="PACKED")),
            models.Index(fields=["house", "number"], name="batches_taken_apart", condition=Q(state="REFUSED")),
            models.Index(fields=["state"], name="batches_to_hand_out", condition=Q(handed_out=False)),
        ]

    def __str__(self) -> str:
        return f"{self.house} batch {self.number}"


class BatchMovement(Row):
    """One instruction's place in a batch, with the sequence number the vault will see."""

    class Outcome(models.TextChoices):
        PENDING = "PENDING", "On its way"
        SETTLED = "SETTLED", "Settled"
        FAILED = "FAILED", "Failed"
        AGAIN = "AGAIN", "To be packed again"

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="movements", db_index=False)
    position = models.PositiveSmallIntegerField()
    # Both are held by one key: the instruction, and its target.
    instruction = models.ForeignKey(ChainInstruction, models.PROTECT, related_name="movements", db_constraint=False)
    vault = models.ForeignKey(
        ChainTarget, models.PROTECT, related_name="movements", db_constraint=False, db_index=False
    )
    contract_seq = models.PositiveIntegerField(help_text="a failed movement does not use its number up")
    ref = models.CharField(max_length=66)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.PENDING)
    is_live = models.GeneratedField(  # no index names `outcome`: what settles, as nearly all does, stays in its page
        expression=models.ExpressionWrapper(Q(outcome__in=["PENDING", "SETTLED"]), models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "position"], name="movement_position_once"),
            models.UniqueConstraint(
                fields=["vault", "contract_seq"], condition=Q(is_live=True), name="contract_seq_once"
            ),
            models.UniqueConstraint(fields=["instruction"], condition=Q(is_live=True), name="one_live_movement"),
        ]


class ChainSender(models.Model):
    """An address that sends transactions; its row's lock serialises them. A key has one role on one chain."""

    address = models.CharField(primary_key=True, max_length=42)
    role = models.CharField(max_length=12, help_text="poster, operator, ...; a role has another key after a rotation")
    chain = models.CharField(max_length=20, default=chains.here)

    def __str__(self) -> str:
        return f"{self.role} {self.address}"


class ChainTransaction(Row):
    """One nonce of one sender, and what it is for. Attempts differ in fees only."""

    class State(models.TextChoices):
        PREPARED = "PREPARED", "Signed and stored"
        SENT = "SENT", "Sent"
        INCLUDED = "INCLUDED", "In a block"
        FINAL = "FINAL", "Final"
        REVERTED = "REVERTED", "Final, and it reverted"
        DISPLACED = "DISPLACED", "Its nonce was used by another transaction"

    UNFINISHED = (State.PREPARED, State.SENT)

    sender = models.ForeignKey(ChainSender, models.PROTECT, related_name="transactions")
    nonce = models.PositiveBigIntegerField()
    batch = models.ForeignKey(Batch, models.PROTECT, null=True, related_name="transactions")
    instruction = models.ForeignKey(ChainInstruction, models.PROTECT, null=True, related_name="transactions")
    act = models.ForeignKey(ChainAct, models.PROTECT, null=True, related_name="transactions")
    step = models.CharField(max_length=80, blank=True, help_text="of its act, or `schedule` of an instruction's call")
    contract_seq = models.PositiveBigIntegerField(null=True, help_text="servicing number the call uses, if any")
    to = models.CharField(max_length=42)
    data = models.TextField(help_text="0x calldata")
    gas_limit = models.PositiveBigIntegerField()
    prepared_block = models.PositiveBigIntegerField(null=True, help_text="head when its nonce was taken")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PREPARED)
    block_number = models.PositiveBigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True)
    transaction_hash = models.CharField(max_length=66, blank=True, help_text="of the attempt that was mined")
    succeeded = models.BooleanField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sender", "nonce"], name="nonce_once"),
            models.CheckConstraint(
                name="transaction_is_for_one_thing",  # a beat is for neither
                condition=Q(batch__isnull=True, instruction__isnull=True)
                | Q(batch__isnull=True, act__isnull=True)
                | Q(instruction__isnull=True, act__isnull=True),
            ),
        ]
        indexes = [models.Index(fields=["state", "nonce"])]


class TransactionAttempt(Row):
    """Signed bytes, stored before they are sent: after a crash the very same ones go out again."""

    transaction = models.ForeignKey(ChainTransaction, models.PROTECT, related_name="attempts")
    hash = models.CharField(max_length=66, unique=True)
    raw = models.TextField(help_text="0x signed bytes")
    max_fee_wei = models.PositiveBigIntegerField()
    priority_fee_wei = models.PositiveBigIntegerField()
    sent_block = models.PositiveBigIntegerField(null=True, help_text="head when it was first sent")

    class Meta:
        ordering = ["id"]


class Fence(Row):
    """Nothing is packed or sent on a chain while a fence stands (`settlement.fence`)."""

    chain = models.CharField(max_length=20, default=chains.here)
    reason = models.CharField(max_length=500, help_text="what the chain counts further than we do")
    lifted_at = models.DateTimeField(null=True, help_text="wall clock, when everything agreed again")
    lifted_by = models.ForeignKey(
        Proposal, models.PROTECT, null=True, related_name="+", help_text="what two people decided; none: all agreed"
    )
    found = models.JSONField(default=dict, help_text="what kept it up when it was last read back: differs, unexplained")
    looked_at = models.DateTimeField(null=True, help_text="wall clock, when that was")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain"], condition=Q(lifted_at=None), name="one_fence_a_chain")]

    def __str__(self) -> str:
        return f"fence of {self.chain}: {self.reason}"


class HeldCall(Row):
    """A single call that the chain would refuse now: it waits for time, or for a person (`settlement.holding`)."""

    instruction = models.OneToOneField(ChainInstruction, models.PROTECT, related_name="held")
    reason = models.CharField(max_length=200)
    given_up = models.BooleanField(default=False, help_text="no passing of time can help: two people decide")
    released_at = models.DateTimeField(null=True, help_text="when two people last said to try again, wall clock")
    tries = models.PositiveIntegerField(default=1)
    next_try_at = models.DateTimeField(help_text="wall-clock time")


class ChainBlock(Row):
    """A block the watcher has read."""

    number = models.PositiveBigIntegerField()
    hash = models.CharField(max_length=66, unique=True)
    parent_hash = models.CharField(max_length=66)
    block_time = models.DateTimeField()
    canonical = models.BooleanField(default=True)
    finalized = models.BooleanField(default=False)
    chain = models.CharField(max_length=20, default=chains.here)

    objects = OfThisChain["ChainBlock"]()
    everywhere = models.Manager["ChainBlock"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["chain", "number"], condition=Q(canonical=True), name="one_canonical_block_a_number"
            )
        ]
        indexes = [models.Index(fields=["finalized", "number"])]


class Lookout(models.Model):
    """When its watcher last read a chain to its head (`settlement.lookout`); no row until it first did."""

    chain = models.CharField(primary_key=True, max_length=20, default=chains.here)
    seen_at = models.DateTimeField(help_text="wall clock")
    at = models.DateTimeField(help_text="platform time of that moment")
    read_until = models.DateTimeField(null=True, help_text="time of the last block read that all nodes agree on")
    moved_at = models.DateTimeField(default=timezone.now, help_text="wall clock when that last changed")


class ChainLog(Row):
    """One event that concerns us, provisional until its block is final, then applied to the ledger once."""

    DISPUTED = "witness_differs"  # how a refusal begins that the nodes' agreeing ends

    block = models.ForeignKey(ChainBlock, models.PROTECT, related_name="logs", db_index=False)
    block_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()
    transaction_hash = models.CharField(max_length=66)
    address = models.CharField(max_length=42)
    topics = models.JSONField()
    data = models.TextField()
    name = models.CharField(max_length=40, blank=True)
    cell = models.ForeignKey(Cell, models.PROTECT, null=True, related_name="+")
    applied = models.BooleanField(default=False)
    refusal = models.CharField(max_length=300, blank=True, help_text="why the ledger could not take it as it is")
    set_aside = models.BooleanField(default=False, help_text="a deposit that does not count: it lies in suspense")
    denied = models.BooleanField(
        default=False, db_default=False, help_text="every node says now that its block has no such log"
    )

    objects = NotDenied["ChainLog"]()
    ever_said = models.Manager["ChainLog"]()

    class Meta:
        constraints = [
            # What is denied keeps its row, and leaves its place to what is there.
            models.UniqueConstraint(fields=["block", "log_index"], condition=Q(denied=False), name="log_once"),
            models.CheckConstraint(name="denied_log_is_not_booked", condition=Q(denied=False) | Q(applied=False)),
        ]
        indexes = [models.Index(fields=["block"], name="unapplied_logs", condition=Q(applied=False))]


class Witnessed(models.Model):
    """Up to which final block every node showed the same logs (`settlement.witnessed`)."""

    chain = models.CharField(primary_key=True, max_length=20, default=chains.here)
    block_number = models.PositiveBigIntegerField()


class ReadBack(models.Model):
    """A target whose earlier logs were read: tokens may reach an address before anybody records it here."""

    target = models.OneToOneField(ChainTarget, models.PROTECT, primary_key=True, related_name="+")
    up_to_block = models.PositiveBigIntegerField(help_text="from here on its logs are read with every block")


class Stray(Row):
    """Tokens that reached a retention or an escrow although nothing of ours sent them: they lie there and stand behind
    nothing. Negative where officers gave such tokens to a layer of the retention, or where a subscription that was read
    late shows that they paid for notes."""

    target = models.ForeignKey(ChainTarget, models.PROTECT, related_name="strays")
    sender = models.CharField(max_length=42)
    amount_base_units = BaseUnitsField()
    transaction_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()
    block_number = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["transaction_hash", "log_index"], name="stray_once")]

    @property
    def shown(self) -> str:
        """To the last digit."""
        return exactly(self.amount_base_units, self.target.asset)


class HouseReceipt(Row):
    """Tokens that a house received from outside, for an officer to book: a recovery, a sale's proceeds, capital."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    sender = models.CharField(max_length=42)
    amount_base_units = BaseUnitsField()
    transaction_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()
    block_number = models.PositiveBigIntegerField()
    entry_key = models.UUIDField(unique=True, help_text="id of the journal entry that books it, once it is booked")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["transaction_hash", "log_index"], name="receipt_once")]
