"""What the risk engine remembers: snapshots, ticks and their shards, requirements that caused an action, live layers,
the last stress report, in which market these were measured, and where the scenarios come from.

The current requirement of a relationship stands in the intermediary's MarginState; any earlier one is recomputed from
(snapshot, book version, ruleset), so only those that caused something are kept here (architecture E14).
"""

from django.db import models

from intermediary.models import Asset, Cell, Layer, Valuation
from intermediary.models.base import BaseUnitsField, Row
from risk.market.recording import HISTORY_AGE_LIMIT_DAYS, is_too_old, source_of


class Snapshot(models.Model):
    """One immutable view of the market, keyed by the hash of its content."""

    id = models.CharField(primary_key=True, max_length=64)
    as_of = models.DateTimeField()
    source = models.CharField(max_length=80)
    body = models.TextField(help_text="canonical JSON; MarketSnapshot.from_json reads it")

    class Meta:
        ordering = ["-as_of"]
        indexes = [models.Index(fields=["-as_of"], name="snapshot_newest_first")]

    def __str__(self) -> str:
        return f"{self.as_of:%Y-%m-%d %H:%M} {self.source}"


class SurfaceFit(models.Model):
    """How well a volatility surface fitted the quotes that it was made from. A snapshot carries the surface alone, all
    that figures follow from; this stands beside it for people, under the surface's own hash."""

    id = models.CharField(primary_key=True, max_length=64)
    underlying = models.CharField(max_length=12)
    as_of = models.DateTimeField()
    body = models.JSONField(help_text="risk.market.surface_report.kept")

    class Meta:
        ordering = ["-as_of"]

    def __str__(self) -> str:
        return f"{self.underlying} {self.as_of:%Y-%m-%d %H:%M}"


class Tick(Row):
    """One recomputation on one snapshot: of every relationship, or of those that moved; done when its last shard is."""

    snapshot = models.OneToOneField(Snapshot, models.PROTECT, related_name="tick")
    valuation = models.OneToOneField(Valuation, models.PROTECT, related_name="+")
    coins = models.JSONField(
        null=True, help_text="underlyings that moved; who holds none of them keeps its figures; null: all are renewed"
    )
    settles = models.BooleanField(
        default=True, help_text="whether a cycle of variation margin ends here: all pay or are paid"
    )
    keeps_history = models.BooleanField(default=True, help_text="whether each gets a point of its margin's history")
    started_at = models.DateTimeField(help_text="wall clock")
    done_at = models.DateTimeField(null=True, help_text="wall clock")

    class Meta:
        ordering = ["-id"]


class TickShard(Row):
    """A part of the relationships; its completion is this row, not a message (E8)."""

    tick = models.ForeignKey(Tick, models.PROTECT, related_name="shards")
    number = models.PositiveSmallIntegerField()
    of = models.PositiveSmallIntegerField(help_text="how many shards the tick has")
    done_at = models.DateTimeField(null=True, help_text="wall clock")
    cells = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=dict, help_text="cell code -> why its requirement was not renewed")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tick", "number"], name="tick_shard_once")]


class RequirementRecord(Row):
    """A requirement that caused an action, with the ids that reproduce it."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    tick = models.ForeignKey(Tick, models.PROTECT, related_name="+")
    ruleset_hash = models.CharField(max_length=64)
    book_hash = models.CharField(max_length=64, help_text="SHA-256 of the positions and margin it was computed from")
    book = models.JSONField(default=dict, help_text="those positions and that margin: risk.book reads them")
    independent_amount_base_units = BaseUnitsField()
    breakdown = models.JSONField()
    cause = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cell", "tick", "cause"], name="requirement_record_once")]


class LayerRisk(Row):
    """Live risk of one layer over the coming year, as shares of its width: expected loss, first and last loss."""

    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+")
    layer = models.OneToOneField(Layer, models.PROTECT, related_name="risk")
    tick = models.ForeignKey(Tick, models.PROTECT, related_name="+")
    expected_loss = models.FloatField()
    probability_first_loss = models.FloatField()
    probability_last_loss = models.FloatField()


class UncoveredRisk(Row):
    """Live risk that a relationship's loss exceeds all of its layers over the coming year: published, never hidden.

    It begins where the funded layers, as far as no loss has used them, end.
    """

    cell = models.OneToOneField(Cell, models.PROTECT, related_name="uncovered_risk")
    tick = models.ForeignKey(Tick, models.PROTECT, related_name="+")
    layers_base_units = BaseUnitsField(help_text="what funded layers can still pay")
    probability = models.FloatField(help_text="of any loss beyond the layers within a year")
    expected_base_units = BaseUnitsField(help_text="mean loss beyond the layers within a year, rounded up")

    class Meta:
        verbose_name = "UNCOVERED risk"
        verbose_name_plural = "live UNCOVERED risk"


class StressReport(Row):
    """The last stress report of one relationship, which its client may read, or, in the house's own cell, of the
    intermediary.

    What the body holds is `risk.stress_reports`'s to say. An earlier one is recomputed from snapshot, book and ruleset.
    """

    cell = models.OneToOneField(Cell, models.PROTECT, related_name="stress_report")
    tick = models.ForeignKey(Tick, models.PROTECT, related_name="+")
    body = models.JSONField()


class Measurement(models.Model):
    """The market in which everybody was measured last, of each thing that is measured of everybody in turns."""

    class Of(models.TextChoices):
        """Layers with what lies beyond them, the model's haircuts, stress reports."""

        LAYERS = "layers"
        HAIRCUTS = "haircuts"
        STRESS = "stress"

    of = models.CharField(primary_key=True, max_length=10, choices=Of)
    tick = models.ForeignKey(Tick, models.PROTECT, null=True, related_name="+", help_text="null: in none yet")

    def __str__(self) -> str:
        return f"{self.of} in tick {self.tick_id}"


class ModelHaircut(Row):
    """What the engine would take off one margin asset now. The haircuts that bind are those of signed terms: this one
    is published beside them, so that everybody sees which are too small."""

    asset = models.OneToOneField(Asset, models.PROTECT, related_name="model_haircut")
    tick = models.ForeignKey(Tick, models.PROTECT, related_name="+")
    haircut_bps = models.PositiveIntegerField(help_text="the larger of floor and shortfall, plus concentration")
    floor_bps = models.PositiveIntegerField(help_text="least haircut of the ruleset")
    shortfall_bps = models.PositiveIntegerField(help_text="1 - exp(-ES 99%) over the margin period, rounded up")
    concentration_bps = models.PositiveIntegerField(help_text="cost of selling all that clients hold, rounded up")


class ScenarioSource(models.Model):
    """Where the scenarios of the last official market come from, for people. One row, absent before the first one."""

    only_row = models.BooleanField(primary_key=True, default=True)
    as_of = models.DateField(help_text="day of the scenarios")
    recorded_to = models.DateField(null=True, help_text="day that the recording reaches; null: they are simulated")
    lacks = models.CharField(max_length=200, blank=True, help_text="why a recording that is there is not used")
    left_out = models.JSONField(default=list, help_text="bars of the recording that could not be true, in words")
    is_live = models.BooleanField(default=False, help_text="whether the market is of now, and no replay")
    known_to = models.DateField(
        null=True, help_text="last day that a recording reached from which a live market's scenarios followed"
    )
    daily_vols = models.JSONField(default=dict, help_text="daily volatility that each coin's scenarios are scaled with")

    class Meta:
        constraints = [models.CheckConstraint(name="scenario_source_is_one_row", condition=models.Q(only_row=True))]

    def __str__(self) -> str:
        return f"{self.name} ({self.as_of})"

    @property
    def name(self) -> str:
        """`history`, `history until <day>` or `simulated`."""
        return source_of(self.recorded_to, self.as_of)

    @property
    def is_too_old(self) -> bool:
        """Whether the volatility in requirements is of a day too long ago."""
        return self.recorded_to is not None and is_too_old(self.recorded_to, self.as_of)

    @property
    def is_gone(self) -> bool:
        """Whether a recording that requirements followed from in a live market is there no more."""
        return self.is_live and self.recorded_to is None and self.known_to is not None

    @property
    def takes_no_new_risk(self) -> bool:
        """As the gate judges it (`risk.doubt`)."""
        return self.is_live and (self.is_too_old or self.is_gone)

    @property
    def limit_days(self) -> int:
        """How many days a recording may be behind."""
        return HISTORY_AGE_LIMIT_DAYS

    @property
    def wants_somebody(self) -> bool:
        """Whether an officer has to do something about the recording: none at all is a choice."""
        return self.is_too_old or self.is_gone or bool(self.lacks) or bool(self.left_out)
