"""Relationships: the cell, its signed terms, its layers, its credit line and the proposals about it."""

import json
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from intermediary.admin.columns import tree
from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import Cell, CreditLine, Layer, Proposal, TermsVersion
from intermediary.terms import Terms


class LayerInline(ReadOnlyInline):
    model = Layer
    columns = ("kind", "attach_base_units", "detach_base_units", "loss_base_units", "funded")


class CreditLineInline(ReadOnlyInline):
    model = CreditLine
    columns = (
        "state",
        "threshold_base_units",
        "first_loss_base_units",
        "tail_base_units",
        "senior_base_units",
        "expires_at",
    )


@admin.register(Cell)
class CellAdmin(ReadOnlyAdmin):
    columns = ("code", "kind", "state", "party", "at")
    search_fields = ("code", "party__legal_name", "party__code")
    list_filter = ("kind", "state")
    ordering = ("code",)
    inlines = (LayerInline, CreditLineInline)


@admin.display(description="Terms")
def terms_in_words(row: TermsVersion) -> Any:
    """The signed body, field by field."""
    return tree(Terms.from_canonical(row.body).body())


@admin.register(TermsVersion)
class TermsVersionAdmin(ReadOnlyAdmin):
    columns = ("cell", "version", "hash", "client_signer", "house_signer", "at")
    search_fields = ("cell__code", "hash")
    also = (terms_in_words,)


@admin.register(Layer)
class LayerAdmin(ReadOnlyAdmin):
    columns = ("cell", "kind", "attach_base_units", "detach_base_units", "loss_base_units", "funded")
    search_fields = ("cell__code",)
    list_filter = ("kind", "funded")


@admin.register(CreditLine)
class CreditLineAdmin(ReadOnlyAdmin):
    columns = (
        "cell", "state", "threshold_base_units", "first_loss_base_units", "tail_base_units", "senior_base_units",
        "expires_at",
    )  # fmt: skip
    search_fields = ("cell__code",)
    list_filter = ("state", "expires_at")


@admin.display(description="Review")
def review(row: Proposal) -> Any:
    """Where it is decided."""
    return format_html('<a class="to" href="{}">Open</a>', reverse("admin:proposal", args=[row.pk]))


@admin.display(description="What is proposed")
def proposed(row: Proposal) -> Any:
    """The body, field by field."""
    return tree(json.loads(row.body))


@admin.register(Proposal)
class ProposalAdmin(ReadOnlyAdmin):
    columns = ("kind", "cell", "state", "maker", "checker", "expires_at", "decided_at", review)
    search_fields = ("cell__code", "hash", "maker__username")
    list_filter = ("kind", "state")
    date_hierarchy = "at"
    also = (proposed,)
