"""Pages of rows that only ever grow: by cursor, newest first, so that a page does not shift while it is read."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """By the row's own key, which is ordered in time. `results`, and the addresses of `next` and `previous`."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000
