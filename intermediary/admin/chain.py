"""What is to happen on chain: the contracts we instruct, and each instruction."""

from django.contrib import admin

from intermediary.admin.read_only import ReadOnlyAdmin
from intermediary.models import ChainInstruction, ChainTarget


@admin.register(ChainTarget)
class ChainTargetAdmin(ReadOnlyAdmin):
    columns = ("kind", "cell", "asset", "address", "next_seq", "opened")
    search_fields = ("cell__code", "address")
    list_filter = ("kind", "asset", "opened")
    ordering = ("cell__code", "kind")


@admin.register(ChainInstruction)
class ChainInstructionAdmin(ReadOnlyAdmin):
    columns = (
        "at",
        "kind",
        "cell",
        "amount_base_units",
        "required_base_units",
        "state",
        "failure",
        "transaction_hash",
        "seq",
    )
    money_asset = "target__asset"
    search_fields = ("cell__code", "transaction_hash", "target__address")
    list_filter = ("state", "kind", "target__kind")
    date_hierarchy = "at"
    ordering = ("-id",)
