"""What the API says of notes. Amounts are whole numbers of base units written as text, since a number of 2**53 and
more loses digits in many languages; rates and probabilities are fractions of one; times are UTC."""

from typing import Any

from rest_framework import serializers

from bonds.models import NoteMark, Order, Series, SeriesEvent


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
    accrued_base_units = Amount()
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
    accrued_base_units = Amount()

    def get_value_base_units(self, held: Any) -> str | None:
        """The digits, or nothing."""
        return None if held.value_base_units is None else str(held.value_base_units)


class OrderBody(serializers.ModelSerializer[Order]):
    """One of your bids: a commitment, then its opening as canonical JSON once it is revealed."""

    series = serializers.CharField(source="tranche.series.code")
    symbol = serializers.CharField(source="tranche.symbol")

    class Meta:
        model = Order
        fields = ("id", "at", "series", "symbol", "commitment", "state", "opening")
