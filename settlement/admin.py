"""The chain's side for officers, read-only: batches, transactions, blocks, receipts, reconciliation and its breaks."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from settlement.models import (
    Approval,
    Batch,
    BatchMovement,
    ChainBlock,
    ChainLog,
    ChainTransaction,
    Deployment,
    HeldCall,
    HouseReceipt,
    ReconciliationBreak,
    ReconciliationReport,
    ReconciliationRun,
    Stray,
    TransactionAttempt,
)


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    columns = ("name", "asset", "address", "block_number")
    search_fields = ("name", "address")
    ordering = ("name",)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    columns = ("at", "kind", "signer", "signed_at", "refusal")
    list_filter = ("kind",)
    ordering = ("-id",)


class MovementInline(ReadOnlyInline):
    model = BatchMovement
    columns = ("position", "instruction", "vault", "contract_seq", "outcome", "reason")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    columns = ("at", "house", "number", "state", "statement", "head")
    search_fields = ("statement", "head")
    list_filter = ("state",)
    date_hierarchy = "at"
    ordering = ("-id",)
    inlines = (MovementInline,)


class AttemptInline(ReadOnlyInline):
    model = TransactionAttempt
    columns = ("hash", "max_fee_wei", "priority_fee_wei", "sent_block", "at")


@admin.register(ChainTransaction)
class ChainTransactionAdmin(ReadOnlyAdmin):
    columns = ("at", "sender", "nonce", "batch", "instruction", "state", "block_number", "transaction_hash")
    search_fields = ("transaction_hash", "to")
    list_filter = ("state", "sender")
    date_hierarchy = "at"
    ordering = ("-id",)
    inlines = (AttemptInline,)


@admin.register(HeldCall)
class HeldCallAdmin(ReadOnlyAdmin):
    columns = ("at", "instruction", "reason", "given_up", "tries", "next_try_at")
    list_filter = ("given_up",)
    ordering = ("-id",)


@admin.register(ChainBlock)
class ChainBlockAdmin(ReadOnlyAdmin):
    columns = ("number", "block_time", "canonical", "finalized", "hash")
    search_fields = ("hash", "number")
    list_filter = ("canonical", "finalized")
    ordering = ("-number",)


@admin.register(ChainLog)
class ChainLogAdmin(ReadOnlyAdmin):
    columns = ("at", "name", "cell", "address", "applied", "set_aside", "denied", "refusal", "transaction_hash")
    search_fields = ("transaction_hash", "address", "cell__code")
    list_filter = ("applied", "set_aside", "denied", "name")
    date_hierarchy = "at"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChainLog]:
        """Also what no node shows any more: here it is seen that it once was said."""
        return ChainLog.ever_said.order_by(*self.ordering)


@admin.register(HouseReceipt)
class HouseReceiptAdmin(ReadOnlyAdmin):
    columns = ("at", "asset", "amount_base_units", "sender", "transaction_hash", "block_number")
    money_asset = "asset"
    search_fields = ("sender", "transaction_hash")
    list_filter = ("asset",)
    ordering = ("-id",)


@admin.register(Stray)
class StrayAdmin(ReadOnlyAdmin):
    columns = ("at", "target", "amount_base_units", "sender", "transaction_hash", "block_number")
    search_fields = ("sender", "transaction_hash", "target__address")
    ordering = ("-id",)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ReadOnlyAdmin):
    columns = ("at", "block_number", "by_hand", "comparisons", "breaks", "block_hash")
    search_fields = ("block_hash",)
    date_hierarchy = "at"


@admin.register(ReconciliationReport)
class ReconciliationReportAdmin(ReadOnlyAdmin):
    columns = ("day", "block_number", "block_time", "comparisons", "breaks")
    search_fields = ("block_hash",)
    date_hierarchy = "day"


@admin.display(description="Owner")
def owner(row: ReconciliationBreak) -> str:
    """The desk that has to clear it."""
    return row.owner


@admin.register(ReconciliationBreak)
class ReconciliationBreakAdmin(ReadOnlyAdmin):
    columns = ("at", "kind", "place", "cell", "ledger_value", "chain_value", "first_block", "resolved_block", owner)
    search_fields = ("place", "cell__code")
    list_filter = ("kind", ("resolved_block", admin.EmptyFieldListFilter))
    ordering = ("-id",)
