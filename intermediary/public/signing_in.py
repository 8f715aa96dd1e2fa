"""Signing in and out, and where a person goes after. In the demonstration: log-ins of one click, nowhere else."""

from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from intermediary import access, queries


class SignInForm(AuthenticationForm):
    """Says the same for a wrong name and a wrong password."""

    error_messages = {
        "invalid_login": "That name and password do not go together. Nothing was changed; try again.",
        "inactive": "That name and password do not go together. Nothing was changed; try again.",
    }


class SignIn(LoginView):
    """The sign-in page."""

    template_name = "public/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Adds the demonstration's people, grouped by face."""
        return super().get_context_data(**kwargs) | {"groups": demo_people()}


def demo_people() -> list[tuple[str, list[User]]]:
    """The log-ins that the demonstration offers; empty outside demo mode."""
    if settings.MODE != "demo":
        return []
    access.show_people_of_the_demo()
    everyone = list(User.objects.filter(is_active=True, is_superuser=False).order_by("username"))
    groups = (
        ("Officers of the intermediary", [user for user in everyone if user.is_staff]),
        ("Clients", [user for user in everyone if not user.is_staff and not user.username.startswith("investor.")]),
        ("Bond investors", [user for user in everyone if user.username.startswith("investor.")]),
    )
    return [(title, people) for title, people in groups if people]


@require_POST
def demo_sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as one of the demonstration's people without a password; does not exist outside demo mode."""
    if settings.MODE != "demo":
        raise Http404
    wanted = request.POST.get("username", "")
    access.show_person(wanted)
    user = get_object_or_404(User, username=wanted, is_active=True, is_superuser=False)
    login(request, user)
    return HttpResponseRedirect(reverse("after_sign_in"))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("home")


def after_sign_in(request: HttpRequest) -> HttpResponse:
    """To the face of whoever signed in."""
    if request.user.is_authenticated and request.user.is_staff:
        return redirect("admin:index")
    cells = queries.cells_of(request.user)
    if cells:
        return redirect("portal:overview", cells[0].code)
    if queries.is_investor(request.user):
        return redirect("investor:holdings")
    return redirect("home" if request.user.is_authenticated else "sign_in")
