"""Defaults as tables: cases, slices, losses by layer, receipts, UNCOVERED shares. The default room shows a case."""

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import CloseOutSlice, DefaultCase, DefaultEvent, LayerLoss, RecoveryReceipt, UncoveredShare


class DefaultEventInline(ReadOnlyInline):
    model = DefaultEvent
    columns = ("at", "before", "after", "note")


@admin.display(description="Room")
def room(row: DefaultCase) -> Any:
    """The page of the case."""
    return format_html('<a class="to" href="{}">Open</a>', reverse("admin:default_room", args=[row.pk]))


@admin.register(DefaultCase)
class DefaultCaseAdmin(ReadOnlyAdmin):
    columns = ("cell", "state", "noticed_at", "loss_base_units", "recoveries_base_units", "uncovered_base_units", room)
    search_fields = ("cell__code",)
    list_filter = ("state",)
    inlines = (DefaultEventInline,)


@admin.register(CloseOutSlice)
class CloseOutSliceAdmin(ReadOnlyAdmin):
    columns = ("cell", "instrument", "quantity", "mark", "price", "depth_usd", "at")
    search_fields = ("cell__code", "instrument__code")
    date_hierarchy = "at"


@admin.register(LayerLoss)
class LayerLossAdmin(ReadOnlyAdmin):
    columns = ("cell", "layer", "loss_before_base_units", "loss_after_base_units", "net_loss_base_units", "at")
    search_fields = ("cell__code",)


@admin.register(RecoveryReceipt)
class RecoveryReceiptAdmin(ReadOnlyAdmin):
    columns = ("cell", "amount_base_units", "source", "net_loss_before_base_units", "net_loss_after_base_units", "at")
    search_fields = ("cell__code", "source")
    date_hierarchy = "at"


@admin.register(UncoveredShare)
class UncoveredShareAdmin(ReadOnlyAdmin):
    columns = ("case", "cell", "lot", "unpaid_gain_base_units", "amount_base_units", "at")
    search_fields = ("cell__code",)
