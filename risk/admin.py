"""Market and risk for officers, read-only: snapshots, ticks and their shards, kept requirements, live risk."""

from django.contrib import admin

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from risk.models import (
    LayerRisk,
    ModelHaircut,
    RequirementRecord,
    Snapshot,
    StressReport,
    Tick,
    TickShard,
    UncoveredRisk,
)


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    columns = ("as_of", "source", "id")
    search_fields = ("id", "source")
    date_hierarchy = "as_of"


class TickShardInline(ReadOnlyInline):
    model = TickShard
    columns = ("number", "of", "cells", "done_at", "refused")


@admin.register(Tick)
class TickAdmin(ReadOnlyAdmin):
    columns = ("at", "snapshot", "started_at", "done_at")
    search_fields = ("snapshot__id",)
    date_hierarchy = "at"
    inlines = (TickShardInline,)


@admin.register(RequirementRecord)
class RequirementRecordAdmin(ReadOnlyAdmin):
    columns = ("at", "cell", "cause", "independent_amount_base_units", "ruleset_hash", "book_hash")
    search_fields = ("cell__code", "ruleset_hash", "book_hash")
    list_filter = ("cause",)
    date_hierarchy = "at"


@admin.register(LayerRisk)
class LayerRiskAdmin(ReadOnlyAdmin):
    columns = ("cell", "layer", "expected_loss", "probability_first_loss", "probability_last_loss", "at")
    search_fields = ("cell__code",)
    ordering = ("cell__code", "layer__attach_base_units")


@admin.register(UncoveredRisk)
class UncoveredRiskAdmin(ReadOnlyAdmin):
    columns = ("cell", "probability", "expected_base_units", "layers_base_units", "tick")
    search_fields = ("cell__code",)
    ordering = ("-probability",)


@admin.register(StressReport)
class StressReportAdmin(ReadOnlyAdmin):
    columns = ("cell", "tick", "at")
    search_fields = ("cell__code",)
    ordering = ("cell__code",)


@admin.register(ModelHaircut)
class ModelHaircutAdmin(ReadOnlyAdmin):
    columns = ("asset", "haircut_bps", "floor_bps", "shortfall_bps", "concentration_bps", "tick", "recorded_at")
