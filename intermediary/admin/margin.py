"""Margin: current requirements, calls with their clocks, withdrawals, variation payments."""

from django.contrib import admin
from django.http import HttpRequest

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import (
    CallEvent,
    CallIncrement,
    ClockStop,
    MarginCall,
    MarginPoint,
    MarginState,
    VariationPayment,
    Withdrawal,
)
from intermediary.templatetags import display


@admin.display(description="Valued at", ordering="valuation__as_of")
def valued_at(state: MarginState) -> str:
    """The market that a requirement speaks of; its row is as old as the relationship."""
    return display.when(state.valuation.as_of)


@admin.register(MarginState)
class MarginStateAdmin(ReadOnlyAdmin):
    columns = (
        "cell", "exposure_base_units", "independent_amount_base_units", "threshold_base_units", "required_base_units",
        "held_base_units", valued_at,
    )  # fmt: skip
    search_fields = ("cell__code",)
    ordering = ("cell__code",)

    def get_list_select_related(self, request: HttpRequest) -> tuple[str, ...]:
        """The valuation stands in a column that is no field."""
        return (*self.joined(), "valuation")


class IncrementInline(ReadOnlyInline):
    model = CallIncrement
    columns = ("amount_base_units", "unmet_base_units", "deliver_by", "at")


class CallEventInline(ReadOnlyInline):
    model = CallEvent
    columns = ("at", "before", "after", "amount_base_units", "note")


@admin.register(MarginCall)
class MarginCallAdmin(ReadOnlyAdmin):
    columns = ("cell", "kind", "state", "amount_base_units", "pledged_base_units", "deliver_by", "met_at", "at")
    search_fields = ("cell__code",)
    list_filter = ("state", "kind", "direction")
    date_hierarchy = "at"
    inlines = (IncrementInline, CallEventInline)


@admin.register(MarginPoint)
class MarginPointAdmin(ReadOnlyAdmin):
    columns = ("cell", "required_base_units", "held_base_units", "exposure_base_units", "at")
    search_fields = ("cell__code",)
    date_hierarchy = "at"


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnlyAdmin):
    columns = ("cell", "asset", "amount_base_units", "state", "requested_by", "at")
    money_asset = "asset"
    search_fields = ("cell__code",)
    list_filter = ("state", "asset")
    date_hierarchy = "at"


@admin.register(VariationPayment)
class VariationPaymentAdmin(ReadOnlyAdmin):
    columns = ("cell", "amount_base_units", "instruction", "reversed_at", "at")
    search_fields = ("cell__code",)
    date_hierarchy = "at"


@admin.register(ClockStop)
class ClockStopAdmin(ReadOnlyAdmin):
    columns = ("started_at", "ended_at", "reason")
