"""A person's own API keys: make one, see them, end one. The secret is on the page once."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from intermediary.api import tokens
from intermediary.config.api.key_form import KeyForm
from intermediary.models import ApiToken


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """The person's keys and the form for another."""
    user = request.user
    assert isinstance(user, User)
    form = KeyForm(user, request.POST if request.method == "POST" else None)
    issued = None
    if form.is_bound and form.is_valid():
        asked = form.cleaned_data
        issued = tokens.issue(
            user=user, name=asked["name"], scopes=asked["scopes"], days=asked["days"], networks=asked["networks"]
        )
        form = KeyForm(user)
    rows = ApiToken.objects.filter(user=user)
    context = {"form": form, "issued": issued, "rows": rows, "scopes": tokens.SCOPES}
    return render(request, "public/api_keys.html", context)


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """End one key."""
    assert isinstance(request.user, User)
    tokens.revoke(user=request.user, token_id=token_id)
    return redirect("api_keys")
