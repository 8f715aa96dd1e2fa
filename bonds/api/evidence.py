"""What the API says of that by which a reader checks a series itself: its documents."""

from rest_framework import serializers
from rest_framework.reverse import reverse

from bonds.models import SeriesDocument


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
