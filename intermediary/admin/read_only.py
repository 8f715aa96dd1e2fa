"""Tables that an officer reads and nobody edits here: no add, no change, no delete, for a superuser neither.

A subclass names its `columns` (of the list) and `money_asset` (the path from a row to the asset its amounts are in).
The detail page shows every field the same way.
"""

from typing import Any, ClassVar

from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from intermediary.admin.columns import Show, column

ROWS_A_PAGE = 50  # a screen and a half; the rest is found by search and filters


class _Reads:
    """What lists and inlines share: their columns, and the refusal of every change."""

    model: type[models.Model]
    columns: ClassVar[tuple[str | Show, ...]] = ()
    money_asset: ClassVar[str] = ""

    def shown(self, names: tuple[str | Show, ...]) -> tuple[Show, ...]:
        """Each name as its column; a column given as a function stays itself."""
        return tuple(column(self.model, one, self.money_asset) if isinstance(one, str) else one for one in names)

    def joined(self) -> tuple[str, ...]:
        """Relations to read together with the rows, so that a page is a handful of queries."""
        keys = [
            field.name
            for field in self.model._meta.fields
            if isinstance(field, models.ForeignKey) and field.name in self.columns
        ]
        return (*keys, self.money_asset) if self.money_asset else tuple(keys)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


class ReadOnlyAdmin(_Reads, ModelAdmin):  # type: ignore[misc]  # published without types
    """One table of the record."""

    list_per_page = ROWS_A_PAGE
    list_fullwidth = True
    also: ClassVar[tuple[str | Show, ...]] = ()  # further lines of the detail page

    def __init__(self, model: type[models.Model], admin_site: Any) -> None:
        super().__init__(model, admin_site)
        names = tuple(field.name for field in model._meta.fields if field.name != "recorded_at")
        self._list = self.shown(self.columns)
        self._detail = (*self.shown(names), *self.shown(self.also))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The list under the table's own name: there is nothing to select for a change."""
        title = str(self.model._meta.verbose_name_plural)
        return super().changelist_view(request, {"title": title[:1].upper() + title[1:]} | (extra_context or {}))

    def get_list_display(self, request: HttpRequest) -> tuple[Show, ...]:
        """The columns of the list."""
        return self._list

    def get_list_select_related(self, request: HttpRequest) -> tuple[str, ...]:
        """What the list's columns follow."""
        return self.joined()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Show, ...]:
        """Every column of the table, then what the subclass adds."""
        return self._detail

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Show, ...]:
        """All of them."""
        return self._detail


class ReadOnlyInline(_Reads, TabularInline):  # type: ignore[misc]  # published without types
    """Rows that belong to the one shown."""

    extra = 0
    can_delete = False
    show_change_link = False
    hide_title = True  # the columns say it
    per_page = ROWS_A_PAGE

    def __init__(self, parent_model: type[models.Model], admin_site: Any) -> None:
        super().__init__(parent_model, admin_site)
        self._list = self.shown(self.columns)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Show, ...]:
        """The columns."""
        return self._list

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Show, ...]:
        """All of them."""
        return self._list

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what the columns follow, in the order in which they were written."""
        return super().get_queryset(request).select_related(*self.joined()).order_by("pk")
