"""The panel of measures side by side, for any page about a series: `{% measures_panel classes %}`, or of a series whose
classes the page has not read, `{% measures_panel of=series %}`."""

from collections.abc import Sequence
from typing import Any

from django import template

from bonds.models import Series
from bonds.portal import measures, queries
from bonds.portal.queries import ClassView

register = template.Library()


@register.inclusion_tag("parts/measures.html", takes_context=True)
def measures_panel(
    context: template.Context, classes: Sequence[ClassView] | None = None, of: Series | None = None
) -> dict[str, Any]:
    """What each measure asks for each class, what moves its price, and the lambda of a price that the reader names."""
    request = context.get("request")
    shown = classes if classes is not None else queries.classes_of(of) if of is not None else []
    return {"panel": measures.panel(shown, request.GET if request else {})}
