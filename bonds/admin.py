"""The desk's view of notes, read-only: what changes a series is a command, and its consequences stand here."""

from django.contrib import admin

from bonds.models import (
    Allocation,
    EligibleWallet,
    EscrowReading,
    Holding,
    NoteMark,
    NoteTransfer,
    Order,
    Series,
    SeriesEvent,
    Slice,
    SliceAct,
    SlicePart,
    StoredRuleset,
    Tranche,
)
from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline


class TrancheInline(ReadOnlyInline):
    model = Tranche
    columns = ("symbol", "seniority", "original_base_units", "guidance_bps", "spread_bps", "note_address")
    money_asset = "series__currency"


class SliceInline(ReadOnlyInline):
    model = Slice
    columns = ("relationship", "attach_base_units", "detach_base_units", "principal_base_units", "net_loss_base_units")
    money_asset = "series__currency"


class EventInline(ReadOnlyInline):
    model = SeriesEvent
    columns = ("at", "kind", "text")


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    columns = ("code", "title", "state", "issue_date", "scheduled_maturity", "escrow_address", "terms_hash")
    list_filter = ("state",)
    search_fields = ("code", "title")
    ordering = ("-id",)
    inlines = (TrancheInline, SliceInline, EventInline)


@admin.register(SlicePart)
class SlicePartAdmin(ReadOnlyAdmin):
    columns = (
        "slice",
        "tranche",
        "principal_base_units",
        "outstanding_base_units",
        "written_down_base_units",
        "written_up_base_units",
    )
    money_asset = "slice__series__currency"
    ordering = ("slice",)


@admin.register(SliceAct)
class SliceActAdmin(ReadOnlyAdmin):
    columns = ("slice", "kind", "state", "amount_base_units", "net_loss_base_units", "ready_at", "done_at")
    money_asset = "slice__series__currency"
    list_filter = ("state", "kind")
    ordering = ("-id",)


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    columns = ("tranche", "party", "state", "commitment", "at", "revealed_at")
    list_filter = ("state",)
    ordering = ("-id",)


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    columns = ("tranche", "party", "payment_round", "units", "paid_units", "spread_bps", "state", "pay_by")
    ordering = ("-id",)


@admin.register(Holding)
class HoldingAdmin(ReadOnlyAdmin):
    columns = ("tranche", "party", "wallet", "units")
    ordering = ("tranche",)


@admin.register(NoteMark)
class NoteMarkAdmin(ReadOnlyAdmin):
    columns = ("tranche", "valuation", "clean_price", "expected_loss", "probability_first_loss", "measure")
    ordering = ("-id",)


@admin.register(NoteTransfer)
class NoteTransferAdmin(ReadOnlyAdmin):
    columns = ("moved_at", "tranche", "standing", "sender", "receiver", "units", "transaction_hash")
    list_filter = ("standing",)
    search_fields = ("sender", "receiver", "transaction_hash")
    ordering = ("-block_number", "-log_index")


@admin.register(EligibleWallet)
class EligibleWalletAdmin(ReadOnlyAdmin):
    columns = ("party", "wallet", "investor_class", "valid_until", "state", "transaction_hash")
    list_filter = ("state",)
    ordering = ("-id",)


@admin.register(EscrowReading)
class EscrowReadingAdmin(ReadOnlyAdmin):
    columns = ("series", "block_number", "block_time", "balance_base_units", "principal_base_units", "owed_base_units")
    money_asset = "series__currency"
    ordering = ("-block_number",)


@admin.register(StoredRuleset)
class StoredRulesetAdmin(ReadOnlyAdmin):
    columns = ("version", "hash", "proposal", "at")
    ordering = ("-version",)
