"""How an officers' page is drawn: whole at first, and only its live part when it renews itself."""

import re
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# The frame's own templates leave thousands of empty lines; one stays, so that what a person typed keeps its paragraphs.
EMPTY_LINES = re.compile(rb"\n(?:[ \t]*\n){2,}")
STALE_AFTER_S = 3 * 3600  # three hourly valuations: from here on a price admits no new risk and closes nothing out
WHOLE, PART = "admin/office/page.html", "admin/office/part.html"


def show(request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """The page `admin/office/<template>.html`. It extends `office_frame` and fills its block `answer`."""
    renewing = request.headers.get("HX-Request") == "true"
    frame = {"office_frame": PART} if renewing else {"office_frame": WHOLE, **admin.site.each_context(request)}
    named = {"title": title, "content_title": title}
    answer = render(request, f"admin/office/{template}.html", frame | named | context, status=status)
    answer.content = EMPTY_LINES.sub(b"\n\n", answer.content)
    return answer
