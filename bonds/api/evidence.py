"""What the API says of that by which a reader checks a series itself: its documents, and what lies in its escrow."""

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from bonds.api.bodies import Amount
from bonds.models import EscrowReading, SeriesDocument
from bonds.portal.collateral import MARK


class DocumentBody(serializers.ModelSerializer[SeriesDocument]):
    """A document of a series' pack under the title that the terms give it."""

    stored = serializers.SerializerMethodField(help_text="false: kept elsewhere, named by its hash alone")
    media_type = serializers.CharField(source="document.media_type", allow_null=True, default=None)
    size_bytes = serializers.IntegerField(allow_null=True)
    address = serializers.SerializerMethodField(help_text="of the bytes; null where they are not stored")

    class Meta:
        model = SeriesDocument
        fields = ("title", "sha256", "stored", "media_type", "size_bytes", "address")

    def get_stored(self, entry: SeriesDocument) -> bool:
        """Whether the platform has the bytes."""
        return entry.document_id is not None

    def get_address(self, entry: SeriesDocument) -> str | None:
        """Where everybody downloads them."""
        if entry.document_id is None:
            return None
        return reverse("investor:series_document", [entry.series_id, entry.sha256], request=self.context["request"])


class ReadingBody(serializers.ModelSerializer[EscrowReading]):
    """One look at the escrow of a series at one final block."""

    balance_base_units = Amount(help_text="settlement tokens that the escrow holds")
    principal_base_units = Amount(help_text="outstanding, of all classes")
    owed_base_units = Amount(help_text="coupons and repayments that holders have not taken out")
    liabilities_base_units = Amount(help_text="principal and owed: what it must hold at least")
    over_base_units = Amount(help_text="what it holds beyond that; negative: short")
    short_base_units = Amount(help_text="what is missing; 0 while all principal is covered")
    mark = serializers.SerializerMethodField(help_text="of the collateral, in the currency of the notes")

    class Meta:
        model = EscrowReading
        fields = (
            "block_number",
            "block_hash",
            "block_time",
            "balance_base_units",
            "principal_base_units",
            "owed_base_units",
            "liabilities_base_units",
            "over_base_units",
            "short_base_units",
            "mark",
        )

    def get_mark(self, reading: EscrowReading) -> str:
        """The escrow holds the very token in which the notes are denominated."""
        return MARK


class ProofCallBody(serializers.Serializer[Any]):
    """One view of one contract."""

    what = serializers.CharField(help_text="what the answer means")
    to = serializers.CharField(help_text="the contract")
    function = serializers.CharField()
    words = serializers.ListField(child=serializers.CharField(), help_text="its arguments, addresses")
    calldata = serializers.CharField(source="data", help_text="of function and words")
    said = Amount(help_text="what the platform says that the chain answers")


class ProofBody(serializers.Serializer[Any]):
    """How a reader asks the chain itself for the newest look."""

    chain_id = serializers.IntegerField()
    block_number = serializers.IntegerField(source="reading.block_number")
    block_hash = serializers.CharField(source="reading.block_hash")
    block_time = serializers.DateTimeField(source="reading.block_time")
    calls = ProofCallBody(many=True)
