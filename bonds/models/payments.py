"""What a series pays its holders over its life: coupons, principal, and what is kept back of it.

Amounts are base units of the settlement token. A coupon and a repayment are shared out on chain by the note contract's
running index, so that they cost the same for one holder and for ten thousand; the rows of holders here say what each
was paid by them, rounded down once, and the residue stays in the escrow.
"""

from django.db import models
from django.db.models import F, Q

from bonds.models.book import Order
from bonds.models.series import Series, Slice, SlicePart, Tranche
from intermediary.models import Cell, ChainInstruction, Party, Wallet
from intermediary.models.base import BaseUnitsField, Row


class CouponRun(Row):
    """One coupon of one class. Planned with its dates when the series goes on risk; figures come with the payment."""

    class State(models.TextChoices):
        PLANNED = "PLANNED", "Planned"
        MOVING = "MOVING", "On its way to the escrow"
        PAID = "PAID", "Paid"
        CANCELLED = "CANCELLED", "Cancelled"

    UNFINISHED = (State.PLANNED, State.MOVING)

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="coupon_runs")
    number = models.PositiveSmallIntegerField(help_text="1 is the first coupon")
    accrual_start = models.DateField()
    accrual_end = models.DateField(help_text="the first day that earns nothing for this coupon")
    record_date = models.DateField()
    payment_date = models.DateField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    rate_annual = models.DecimalField(max_digits=12, decimal_places=9, null=True, help_text="spread plus yield")
    amount_base_units = BaseUnitsField(default=0)
    from_relationships_base_units = BaseUnitsField(default=0, help_text="spread that covered relationships prefunded")
    from_collateral_base_units = BaseUnitsField(default=0, help_text="realised yield of the collateral")
    from_house_base_units = BaseUnitsField(default=0, help_text="the gap, which the intermediary pays")
    units = BaseUnitsField(default=0, help_text="all units of the class, which the coupon was shared among")
    paid_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["tranche", "number"]
        constraints = [
            models.UniqueConstraint(fields=["tranche", "number"], name="coupon_once_a_period"),
            models.CheckConstraint(name="coupon_period_has_days", condition=Q(accrual_start__lt=F("accrual_end"))),
            models.CheckConstraint(
                name="coupon_has_a_payer",
                condition=Q(
                    amount_base_units=F("from_relationships_base_units")
                    + F("from_collateral_base_units")
                    + F("from_house_base_units")
                ),
            ),
        ]


class CouponPart(Row):
    """What one covered relationship's cell sends of a coupon: one movement to the escrow, booked in that cell."""

    run = models.ForeignKey(CouponRun, models.PROTECT, related_name="parts")
    slice = models.ForeignKey(Slice, models.PROTECT, related_name="+")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    amount_base_units = BaseUnitsField()
    from_relationship_base_units = BaseUnitsField()
    from_house_base_units = BaseUnitsField()
    movement = models.OneToOneField(ChainInstruction, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["run", "slice"]
        constraints = [
            models.UniqueConstraint(fields=["run", "slice"], name="coupon_part_once_a_slice"),
            models.CheckConstraint(
                name="coupon_part_adds_up",
                condition=Q(
                    amount_base_units__gt=0,
                    from_relationship_base_units__gte=0,
                    from_house_base_units__gte=0,
                    amount_base_units=F("from_relationship_base_units") + F("from_house_base_units"),
                ),
            ),
        ]


class CouponPayment(Row):
    """What one wallet was paid of a coupon; append-only. An investor sees its own."""

    run = models.ForeignKey(CouponRun, models.PROTECT, related_name="payments")
    party = models.ForeignKey(Party, models.PROTECT, related_name="+")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    units = BaseUnitsField()
    amount_base_units = BaseUnitsField(help_text="rounded down")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "wallet"], name="coupon_once_a_wallet")]


class SpreadCharge(Row):
    """The spread of a coming coupon, taken from one covered relationship's free margin ahead of the payment."""

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="spread_charges")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    number = models.PositiveSmallIntegerField(help_text="of the coupon")
    due_base_units = BaseUnitsField(help_text="its share of the spread, less what lies ready from before")
    taken_base_units = BaseUnitsField(help_text="what its free margin could pay")
    movement = models.OneToOneField(ChainInstruction, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["slice", "number"]
        constraints = [
            models.UniqueConstraint(fields=["slice", "number"], name="spread_charged_once"),
            models.CheckConstraint(
                name="no_more_taken_than_due",
                condition=Q(taken_base_units__gte=0, taken_base_units__lte=F("due_base_units")),
            ),
        ]


class Redemption(Row):
    """Principal of one class in one slice that is paid back to the holders. One in flight a part."""

    class Reason(models.TextChoices):
        MATURITY = "MATURITY", "Maturity"
        RELEASE = "RELEASE", "Released from reserve"
        FINAL = "FINAL", "Final maturity"
        EARLY = "EARLY", "Early redemption"
        RECOVERY = "RECOVERY", "Late recovery"
        ON_CHAIN = "ON_CHAIN", "Released on chain by anyone"

    class State(models.TextChoices):
        MOVING = "MOVING", "On its way"
        DONE = "DONE", "Done"
        LAPSED = "LAPSED", "Overtaken by the escrow's maturity"

    part = models.ForeignKey(SlicePart, models.PROTECT, related_name="redemptions")
    slice = models.ForeignKey(Slice, models.PROTECT, related_name="redemptions")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=10, choices=Reason.choices)
    state = models.CharField(max_length=6, choices=State.choices, default=State.MOVING)
    amount_base_units = BaseUnitsField()
    movement = models.OneToOneField(ChainInstruction, models.PROTECT, null=True, related_name="+")
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["part"], condition=Q(state="MOVING"), name="one_redemption_in_flight"),
            models.CheckConstraint(name="redemption_pays_something", condition=Q(amount_base_units__gt=0)),
        ]


class Reserve(Row):
    """What is kept back of a slice after its risk period, and what is released, at one review; append-only (B6)."""

    slice = models.ForeignKey(Slice, models.PROTECT, related_name="reserves")
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    basis = models.CharField(max_length=12, help_text="NONE, ESTIMATE, UNKNOWN, DETERMINED or FINAL")
    factor = models.DecimalField(max_digits=6, decimal_places=4, help_text="on the estimated net loss")
    estimated_net_loss_base_units = BaseUnitsField(default=0)
    outstanding_base_units = BaseUnitsField()
    reserved_base_units = BaseUnitsField()
    released_base_units = BaseUnitsField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="reserved_and_released_are_all",
                condition=Q(
                    reserved_base_units__gte=0,
                    released_base_units__gte=0,
                    outstanding_base_units=F("reserved_base_units") + F("released_base_units"),
                ),
            ),
        ]


class RollForward(Row):
    """A holder's wish to put the principal that one class repays into the next series: what is repaid since is noted on
    it, a sealed bid is made from it, and what was both repaid and paid for has rolled. Investors see only their own.
    """

    class State(models.TextChoices):
        ELECTED = "ELECTED", "Elected"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"
        APPLIED = "APPLIED", "Applied"
        LAPSED = "LAPSED", "Lapsed"

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="roll_forwards")
    party = models.ForeignKey(Party, models.PROTECT, related_name="+")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+")
    into = models.ForeignKey(Tranche, models.PROTECT, related_name="+")
    minimum_spread_bps = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.ELECTED)
    order = models.ForeignKey(
        Order, models.PROTECT, null=True, related_name="roll_forwards", help_text="the last bid that was made from it"
    )
    amount_base_units = BaseUnitsField(default=0, help_text="principal that was repaid to its wallet since")
    rolled_base_units = BaseUnitsField(default=0, help_text="of it, what was paid for the new notes")
    applied_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tranche", "wallet"], condition=Q(state="ELECTED"), name="one_election_a_wallet"
            ),
            models.CheckConstraint(
                name="no_more_rolled_than_repaid",
                condition=Q(rolled_base_units__range=(0, F("amount_base_units")))
                & (Q(rolled_base_units=0) | Q(state="APPLIED")),
            ),
        ]


class HolderNotice(Row):
    """What a holder is told of a series it holds; append-only. An investor sees its own."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="holder_notices")
    tranche = models.ForeignKey(Tranche, models.PROTECT, null=True, related_name="+")
    party = models.ForeignKey(Party, models.PROTECT, related_name="bond_notices")
    kind = models.CharField(max_length=14)
    text = models.CharField(max_length=300)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["party", "-id"], name="holder_notices_of_a_party")]


class HolderClaim(Row):
    """Cash that a wallet took out of an escrow, as the chain says it; append-only. An investor sees its own."""

    tranche = models.ForeignKey(Tranche, models.PROTECT, related_name="claims")
    address = models.CharField(max_length=42)
    party = models.ForeignKey(Party, models.PROTECT, null=True, related_name="+")
    amount_base_units = BaseUnitsField()
    transaction_hash = models.CharField(max_length=66)
    log_index = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction_hash", "log_index"], name="claim_once"),
        ]
