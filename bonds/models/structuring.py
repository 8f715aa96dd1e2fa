"""What comes before a series and what describes it: drafts of officers, documents of the pack, dated term sheets."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from bonds.models.series import Series
from intermediary.models import Proposal, Valuation
from intermediary.models.base import Row


class SeriesDraft(Row):
    """A series that an officer composes: the form as it was filled in, and what a worker found of it. Nobody is bound
    by a draft; the proposal made of it carries the terms."""

    class State(models.TextChoices):
        DRAFT = "DRAFT", "Draft"
        PROPOSED = "PROPOSED", "Waiting for a checker"
        STRUCTURED = "STRUCTURED", "Structured"
        DROPPED = "DROPPED", "Dropped"

    code = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    revision = models.PositiveIntegerField(default=1)
    body = models.JSONField(help_text="the form, as plain JSON")
    problems = models.JSONField(default=list, help_text="of each: field, code, message and numbers")
    figures = models.JSONField(default=dict, help_text="what each class would be like at the last valuation")
    terms_hash = models.CharField(max_length=64, blank=True, help_text="empty while the terms are not whole")
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposal = models.OneToOneField(Proposal, models.PROTECT, null=True, related_name="series_draft")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["code"], condition=~Q(state="DROPPED"), name="one_draft_a_code"),
        ]

    def __str__(self) -> str:
        return self.code


class Document(Row):
    """The bytes of one document under their own hash. Append-only."""

    title = models.CharField(max_length=120)
    filename = models.CharField(max_length=120)
    media_type = models.CharField(max_length=60)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64, unique=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.title


class SeriesDocument(Row):
    """A document of a series' pack, under the title that its terms give it. Append-only."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="documents")
    title = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)
    document = models.ForeignKey(
        Document, models.PROTECT, null=True, related_name="+", help_text="none: kept elsewhere"
    )

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["series", "title"], name="document_title_once")]


class TermSheet(Row):
    """The figures of a series' term sheet at one valuation. Append-only."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="term_sheets")
    valuation = models.ForeignKey(Valuation, models.PROTECT, related_name="+")
    body = models.JSONField()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["series", "valuation"], name="term_sheet_once")]
