"""What the API says of notes. Amounts are whole numbers of base units written as text, since a number of 2**53 and
more loses digits in many languages; rates and probabilities are fractions of one; times are UTC."""

from typing import Any

from rest_framework import serializers

from bonds.models import Allocation, CouponRun, HolderNotice, NoteMark, Order, Series, SeriesEvent
from bonds.offering.sealing import OPENING_CHARACTERS_MAX
from bonds.servicing.rolls import SPREAD_BPS_MAX


class Amount(serializers.CharField):
    """Base units of the series' currency, as text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        """The digits."""
        return str(int(value))


class SeriesBody(serializers.ModelSerializer[Series]):
    """One series. `terms` is the text whose SHA-256 is `terms_hash`."""

    currency = serializers.CharField(source="currency.code")
    denomination_base_units = Amount()

    class Meta:
        model = Series
        fields = (
            "code",
            "title",
            "state",
            "currency",
            "issue_date",
            "scheduled_maturity",
            "final_maturity",
            "risk_from",
            "risk_until",
            "denomination_base_units",
            "escrow_address",
            "issued_at",
            "terms",
            "terms_hash",
        )


class MarkBody(serializers.ModelSerializer[NoteMark]):
    """One class at one official valuation; prices per 100 of current principal, risk over the coming year."""

    valued_at = serializers.DateTimeField(source="valuation.as_of")
    outstanding_base_units = Amount()

    class Meta:
        model = NoteMark
        fields = (
            "valued_at",
            "outstanding_base_units",
            "clean_price",
            "accrued",
            "z_spread",
            "expected_yield",
            "expected_loss",
            "probability_first_loss",
            "probability_last_loss",
            "measure",
            "outputs",
        )


class ClassBody(serializers.Serializer[Any]):
    """One class of notes as it stands; `mark` is its newest."""

    symbol = serializers.CharField(source="tranche.symbol")
    name = serializers.CharField(source="tranche.name")
    isin = serializers.CharField(source="tranche.isin")
    seniority = serializers.IntegerField(source="tranche.seniority", help_text="0 is written down first")
    note_address = serializers.CharField(source="tranche.note_address")
    original_base_units = Amount(source="tranche.original_base_units")
    outstanding_base_units = Amount()
    factor = serializers.CharField(source="factor_decimal", help_text="outstanding over original, rounded down")
    guidance_bps = serializers.IntegerField(source="tranche.guidance_bps", allow_null=True)
    spread_bps = serializers.IntegerField(source="tranche.spread_bps", allow_null=True)
    accrued_base_units = Amount(allow_null=True, help_text="null while a day of a floating coupon has no rate")
    mark = MarkBody(allow_null=True)


class SliceBody(serializers.Serializer[Any]):
    """One covered relationship under its public code."""

    relationship = serializers.CharField(source="slice.relationship")
    attach_base_units = Amount(source="slice.attach_base_units")
    detach_base_units = Amount(source="slice.detach_base_units")
    principal_base_units = Amount(source="slice.principal_base_units")
    outstanding_base_units = Amount()
    net_loss_base_units = Amount(source="slice.net_loss_base_units", help_text="N that the principal stands at")


class EventBody(serializers.ModelSerializer[SeriesEvent]):
    """What happened to a series."""

    class Meta:
        model = SeriesEvent
        fields = ("at", "kind", "text", "data")


class HoldingBody(serializers.Serializer[Any]):
    """Notes in one of your wallets."""

    series = serializers.CharField(source="of.tranche.series.code")
    symbol = serializers.CharField(source="of.tranche.symbol")
    wallet = serializers.CharField(source="holding.wallet.address")
    units = Amount(source="holding.units", help_text="base units of original face")
    principal_base_units = Amount()
    value_base_units = serializers.SerializerMethodField(help_text="at the model's clean price; null without one")
    accrued_base_units = Amount(allow_null=True, help_text="null while a day of a floating coupon has no rate")

    def get_value_base_units(self, held: Any) -> str | None:
        """The digits, or nothing."""
        return None if held.value_base_units is None else str(held.value_base_units)


class AllocationBody(serializers.ModelSerializer[Allocation]):
    """What a bid got in one round, and what was paid of it by its own wallet."""

    units = Amount()
    paid_units = Amount()

    class Meta:
        model = Allocation
        fields = ("payment_round", "units", "paid_units", "spread_bps", "pay_by", "state")


class OrderBody(serializers.ModelSerializer[Order]):
    """One of your bids: a commitment, then its opening as canonical JSON once it is revealed."""

    series = serializers.CharField(source="tranche.series.code")
    symbol = serializers.CharField(source="tranche.symbol")
    wallet = serializers.CharField(source="wallet.address", help_text="the one that would hold the notes")
    allocations = AllocationBody(many=True)
    roll_forwards = serializers.PrimaryKeyRelatedField(  # type: ignore[var-annotated]  # of UUIDs
        many=True, read_only=True, help_text="the elections that it was made from"
    )

    class Meta:
        model = Order
        fields = (
            "id",
            "at",
            "series",
            "symbol",
            "wallet",
            "commitment",
            "state",
            "opening",
            "allocations",
            "roll_forwards",
        )


class RollBody(serializers.Serializer[Any]):
    """One of your elections to roll forward: what was repaid is not yet what rolled."""

    id = serializers.UUIDField(source="row.id")
    at = serializers.DateTimeField(source="row.at")
    symbol = serializers.CharField(source="row.tranche.symbol", help_text="the notes that are repaid")
    wallet = serializers.CharField(source="row.wallet.address")
    into_series = serializers.CharField(source="row.into.series.code")
    into_symbol = serializers.CharField(source="row.into.symbol")
    minimum_spread_bps = serializers.IntegerField(source="row.minimum_spread_bps")
    state = serializers.CharField(source="row.state", help_text="ELECTED, WITHDRAWN, APPLIED or LAPSED")
    why = serializers.CharField(help_text="it lapsed; empty otherwise")
    order = serializers.UUIDField(source="row.order_id", allow_null=True, help_text="the last bid made from it")
    allocated_units = Amount(help_text="what its bid got")
    paid_units = Amount(help_text="and what was paid of that")
    repaid_base_units = Amount(source="row.amount_base_units", help_text="to the wallet since the election")
    rolled_base_units = Amount(source="row.rolled_base_units", help_text="of it, paid for the new notes by their issue")
    applied_at = serializers.DateTimeField(source="row.applied_at", allow_null=True)


class OfferedBody(serializers.Serializer[Any]):
    """One class on sale."""

    symbol = serializers.CharField(source="offered.tranche.symbol")
    class_id = serializers.UUIDField(source="offered.tranche_id", help_text="what a bid names")
    guidance_bps = serializers.IntegerField(source="offered.tranche.guidance_bps", allow_null=True)
    target_base_units = Amount(source="offered.target_base_units")
    limit_base_units = Amount(source="offered.limit_base_units", help_text="most that is sold at the clearing spread")
    cap_base_units = Amount(source="offered.cap_base_units", help_text="most that one investor gets")
    sealed = serializers.IntegerField(help_text="sealed bids in the book")


class OfferingBody(serializers.Serializer[Any]):
    """One sale, from its announcement to its settlement."""

    series = serializers.CharField(source="offering.series.code")
    state = serializers.CharField(source="offering.state")
    opens_at = serializers.DateTimeField(source="offering.opens_at")
    commits_until = serializers.DateTimeField(source="offering.commits_until")
    reveals_until = serializers.DateTimeField(source="offering.reveals_until")
    pays_until = serializers.DateTimeField(source="offering.pays_until")
    rules = serializers.CharField(source="offering.rules", help_text="name of the rules of clearing")
    report_hash = serializers.CharField(source="offering.report_hash", help_text="empty until the book is cleared")
    classes = OfferedBody(many=True)


class CouponBody(serializers.ModelSerializer[CouponRun]):
    """One coupon of one class, planned or paid, with who paid for it."""

    symbol = serializers.CharField(source="tranche.symbol")
    amount_base_units = Amount()
    from_relationships_base_units = Amount()
    from_collateral_base_units = Amount()
    from_house_base_units = Amount()

    class Meta:
        model = CouponRun
        fields = (
            "symbol",
            "number",
            "accrual_start",
            "accrual_end",
            "record_date",
            "payment_date",
            "state",
            "rate_annual",
            "amount_base_units",
            "from_relationships_base_units",
            "from_collateral_base_units",
            "from_house_base_units",
            "paid_at",
        )


class NoticeBody(serializers.ModelSerializer[HolderNotice]):
    """What you were told as a holder."""

    series = serializers.CharField(source="series.code")

    class Meta:
        model = HolderNotice
        fields = ("id", "at", "series", "kind", "text", "data")


class LineBody(serializers.Serializer[Any]):
    """One event in your account of a class; changes are signed."""

    at = serializers.DateTimeField()
    kind = serializers.CharField(source="kind.value")
    units = Amount()
    units_after = Amount()
    principal = Amount()
    principal_after = Amount()
    cash = Amount()
    note = serializers.CharField()
    reference = serializers.CharField()


class AccountBody(serializers.Serializer[Any]):
    """Your account of one class over the days asked for: opening plus lines is closing, to the base unit."""

    symbol = serializers.CharField(source="tranche.symbol")
    opening_units = Amount(source="account.opening_units")
    opening_principal = Amount(source="account.opening_principal")
    lines = LineBody(source="account.lines", many=True)
    closing_units = Amount(source="account.closing_units")
    closing_principal = Amount(source="account.closing_principal")


class MovedBody(serializers.Serializer[Any]):
    """Units that one of your wallets received or sent, final on chain."""

    series = serializers.CharField(source="row.tranche.series.code")
    symbol = serializers.CharField(source="row.tranche.symbol")
    kind = serializers.CharField(source="kind.value", help_text="ISSUED, RECEIVED or SENT")
    units = Amount(source="signed_units", help_text="base units of original face; negative: sent")
    wallet = serializers.CharField(source="own")
    counterparty = serializers.CharField(source="other", help_text="address; of an issue the zero address")
    standing = serializers.CharField(
        allow_null=True,
        help_text="of what came to you: ISSUED or HELD; UNKNOWN or BARRED: in no holding; null of what you sent",
    )
    transaction_hash = serializers.CharField(source="row.transaction_hash")
    log_index = serializers.IntegerField(source="row.log_index")
    block_number = serializers.IntegerField(source="row.block_number")
    moved_at = serializers.DateTimeField(source="row.moved_at", help_text="time of the block")


class StandingBody(serializers.Serializer[Any]):
    """Whether one of your wallets may hold notes."""

    wallet = serializers.CharField(source="wallet.address")
    state = serializers.CharField(help_text="NONE, WAITING, ELIGIBLE, SOON (to be renewed) or EXPIRED")
    valid_until = serializers.DateTimeField(source="grant.valid_until", allow_null=True, default=None)


class BidAsked(serializers.Serializer[Any]):
    """A sealed bid: seal it yourself, keep the opening; what is not revealed in time is no bid."""

    class_id = serializers.UUIDField()
    commitment = serializers.RegexField(r"^[0-9a-f]{64}$", help_text="SHA-256 of the opening, hex")
    conflicts = serializers.ListField(child=serializers.CharField(max_length=20), default=list, max_length=10)
    roll_forward = serializers.UUIDField(required=False, help_text="your election that the bid is made from")


class RevealAsked(serializers.Serializer[Any]):
    """The opening of a sealed bid: the canonical JSON that was hashed, and the nonce in its bidder."""

    opening = serializers.CharField(max_length=OPENING_CHARACTERS_MAX, trim_whitespace=False)
    nonce = serializers.CharField(max_length=64)


class RollAsked(serializers.Serializer[Any]):
    """What a class repays to one of your wallets is meant for a class on sale."""

    symbol = serializers.CharField(max_length=20, help_text="the notes that you hold")
    wallet = serializers.RegexField(r"^0x[0-9a-fA-F]{40}$", help_text="yours, that holds them")
    class_id = serializers.UUIDField(help_text="the class on sale, as a bid names it")
    minimum_spread_bps = serializers.IntegerField(
        min_value=0, max_value=SPREAD_BPS_MAX, default=0, help_text="readable by the platform, unlike a sealed bid"
    )


class TransferAsked(serializers.Serializer[Any]):
    """A transfer to be judged before a wallet sends it."""

    symbol = serializers.CharField(max_length=20)
    wallet = serializers.RegexField(r"^0x[0-9a-fA-F]{40}$", help_text="yours, that holds the notes")
    receiver = serializers.RegexField(r"^0x[0-9a-fA-F]{40}$", help_text="of an eligible holder")
    units = serializers.RegexField(r"^[1-9][0-9]{0,28}$", help_text="base units of original face")
