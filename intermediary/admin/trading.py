"""Trading: instruments, trades with each side's verdict, lots, positions, official valuations."""

from django.contrib import admin

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import Instrument, Lot, Mark, Position, Trade, TradeCheck, Valuation


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    columns = ("code", "kind", "underlying", "expiry", "strike")
    search_fields = ("code", "underlying")
    list_filter = ("kind", "underlying")


class TradeCheckInline(ReadOnlyInline):
    model = TradeCheck
    columns = ("cell", "passed", "numbers")


@admin.register(Trade)
class TradeAdmin(ReadOnlyAdmin):
    columns = ("instrument", "buyer", "seller", "quantity", "price", "state", "at")
    search_fields = ("instrument__code", "buyer__code", "seller__code")
    list_filter = ("state", "instrument")
    date_hierarchy = "at"
    inlines = (TradeCheckInline,)


@admin.register(Lot)
class LotAdmin(ReadOnlyAdmin):
    columns = ("cell", "instrument", "opposite", "quantity", "open_quantity", "price", "at")
    search_fields = ("cell__code", "opposite__code", "instrument__code")
    list_filter = ("instrument",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    columns = ("cell", "instrument", "quantity", "settled_value", "at")
    search_fields = ("cell__code", "instrument__code")
    list_filter = ("instrument",)
    ordering = ("cell__code", "instrument__code")


class MarkInline(ReadOnlyInline):
    model = Mark
    columns = ("instrument", "price")


@admin.register(Valuation)
class ValuationAdmin(ReadOnlyAdmin):
    columns = ("as_of", "source", "snapshot_id")
    search_fields = ("snapshot_id",)
    date_hierarchy = "as_of"
    inlines = (MarkInline,)
