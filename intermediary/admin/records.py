"""Who asked for what, what followed, and who did it: requests, events with their deliveries, the audit chain."""

from django.contrib import admin

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import AuditRecord, CommandRequest, Delivery, Event


@admin.register(CommandRequest)
class CommandRequestAdmin(ReadOnlyAdmin):
    columns = ("at", "command", "cell", "user", "state")
    search_fields = ("command", "cell__code", "user__username")
    list_filter = ("state", "command")
    date_hierarchy = "at"


class DeliveryInline(ReadOnlyInline):
    model = Delivery
    columns = ("consumer", "state", "attempts", "error")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    columns = ("at", "kind", "cell", "payload")
    search_fields = ("cell__code", "kind")
    list_filter = ("kind",)
    date_hierarchy = "at"
    ordering = ("-id",)
    inlines = (DeliveryInline,)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    columns = ("at", "event", "consumer", "state", "attempts", "error")
    search_fields = ("error",)
    list_filter = ("state", "consumer")
    ordering = ("-id",)


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    columns = ("number", "at", "actor", "action", "subject", "hash")
    search_fields = ("actor", "action", "subject", "hash")
    list_filter = ("action",)
    date_hierarchy = "at"
