"""The runbook as a page of the desk: what stands in docs/ beside this release, so that nobody looks for it at night."""

import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

from intermediary.access import not_found
from intermediary.config.office.pages import show
from intermediary.config.operations.rules import RULES, slug

RUNBOOK = "operations"


def runbook(request: HttpRequest) -> HttpResponse:
    """The runbook itself."""
    return page(request, RUNBOOK)


def page(request: HttpRequest, name: str) -> HttpResponse:
    """One document of docs/ by its name."""
    path = Path(settings.BASE_DIR) / "docs" / f"{name}.md"
    if not path.is_file():
        raise not_found()
    title, body = rendered(path, path.stat().st_mtime_ns)
    return show(request, "runbook", title, body=body, alarms=RULES if name == RUNBOOK else ())


@lru_cache(maxsize=16)
def rendered(path: Path, _changed: int) -> tuple[str, SafeString]:
    """Title and HTML of a Markdown document: headings have the anchors that code hosts give them, links to documents
    beside it lead to their pages here, and the title stands in the page's frame."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(path.read_text())
    title = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
            title = title or heading
            token.attrSet("id", slug(heading.replace("`", "")))
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("href", _here(str(child.attrGet("href"))))
    if tokens and tokens[0].tag == "h1":
        del tokens[:3]
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return title, SafeString(html)


def _here(href: str) -> str:
    beside = re.fullmatch(r"([a-z0-9-]+)\.md(#.*)?", href)
    return reverse("admin:runbook_page", args=[beside[1]]) + (beside[2] or "") if beside else href
