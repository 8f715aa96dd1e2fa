"""The ledger: assets, accounts, the journal. Entries are immutable; the database keeps every balance."""

from django.contrib import admin

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import Account, Asset, JournalEntry, Posting


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    columns = ("code", "decimals", "is_settlement", "priced_as", "token_address")


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    columns = ("cell", "kind", "asset", "balance_base_units", "version")
    money_asset = "asset"
    search_fields = ("cell__code", "kind")
    list_filter = ("kind", "asset", "cell__kind")
    ordering = ("cell__code", "kind")


class PostingInline(ReadOnlyInline):
    model = Posting
    columns = ("account", "asset", "amount_base_units", "balance_before_base_units", "balance_after_base_units")
    money_asset = "asset"


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    columns = ("at", "cell", "kind", "memo", "line_count", "id")
    search_fields = ("cell__code", "kind", "memo", "id")
    list_filter = ("kind",)
    date_hierarchy = "at"
    ordering = ("-at", "-id")
    inlines = (PostingInline,)


@admin.register(Posting)
class PostingAdmin(ReadOnlyAdmin):
    columns = ("at", "account", "amount_base_units", "balance_after_base_units", "entry")
    money_asset = "asset"
    search_fields = ("cell__code", "account__kind", "entry__id")
    list_filter = ("asset", "account__kind")
    date_hierarchy = "at"
    ordering = ("-id",)

    def joined(self) -> tuple[str, ...]:
        """The account names its own cell."""
        return ("account__cell", "entry", "asset")
