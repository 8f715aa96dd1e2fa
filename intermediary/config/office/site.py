"""The officers' site: who gets in, under which content policy, and its pages that are more than one table."""

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.sites import UnfoldAdminSite

from intermediary.access import not_found

View = Callable[..., HttpResponse]

# unfold drives its menus with Alpine, which compiles the expressions in the markup (eval) and sets style attributes.
# That is allowed here and nowhere else. Inline scripts and inline style elements stay refused, and so does any host
# but ours; what a client typed is escaped and never reaches an Alpine attribute.
POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src-attr": [UNSAFE_INLINE]}


class OfficerSite(UnfoldAdminSite):  # type: ignore[misc]  # published without types
    """The admin, for active officers only. Everyone else learns nothing, not even that a page exists."""

    enable_nav_sidebar = True

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """An officers' page under the officers' content policy."""
        guarded: Any = csp_replace(POLICY)(super().admin_view(view, cacheable))
        return guarded  # type: ignore[no-any-return]  # what the decorator returns is wider than a view

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page for everyone; a signed-in person who is no officer finds nothing here."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise not_found()
        wanted = request.GET.get("next") or reverse("admin:index")
        return redirect(f"{reverse('sign_in')}?{urlencode({'next': wanted})}")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The desk is the first page."""
        from intermediary.config.office import desk

        return desk.desk(request)

    def extra_urls(self) -> list[URLPattern]:
        """Pages beside the tables. Imported here: models are loaded by now."""
        from intermediary.config.office.addresses import PAGES

        return [path(route, self.admin_view(view), name=name) for route, view, name in PAGES]
