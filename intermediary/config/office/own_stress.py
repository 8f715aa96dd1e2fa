"""A scenario of the officer's own: moves by coin, volatility, premium, basis, peg and depth, put on the whole book.

The page stores the question as a wish; a risk worker judges what was entered and answers with the stress table.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from intermediary.config.office.pages import show
from intermediary.models import CommandRequest
from intermediary.portal.wishes import ask, soon
from risk.market.parameters import COINS

COMMAND = "own_stress"
FIELDS = (
    ("move", "Every coin", "%", "0"),
    ("vol", "Implied volatility", "% of itself", "0"),
    ("premium", "Perpetuals over spot", "%", "0"),
    ("basis", "Forward basis", "points a year", "0"),
    ("peg", "Settlement coin", "USD", "1"),
    ("depth", "Depth left", "% of the ordinary", "100"),
)


class OwnStressForm(forms.Form):
    """Any text: what is refused, and why, is the scenario's own question."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label, unit, ordinary in FIELDS:
            self.fields[name] = self._field(f"{label}, {unit}", ordinary)
        for coin in COINS:
            self.fields[f"coin-{coin}"] = self._field(f"{coin}, %", "as every coin")

    @staticmethod
    def _field(label: str, ordinary: str) -> forms.CharField:
        box = forms.TextInput(attrs={"placeholder": ordinary, "inputmode": "text"})
        return forms.CharField(label=label, required=False, max_length=20, widget=box)

    def body(self) -> dict[str, dict[str, str]]:
        """What was filled in."""
        filled = {name: value for name, value in self.cleaned_data.items() if value}
        return {
            "entered": {name: value for name, value in filled.items() if not name.startswith("coin-")},
            "moves": {name[5:]: value for name, value in filled.items() if name.startswith("coin-")},
        }


def own_stress(request: HttpRequest) -> HttpResponse:
    """The form, and the answer to the question of `?request=`."""
    form = OwnStressForm(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid():
        wish = ask(request, COMMAND, None, form.body())
        return redirect(f"{reverse('admin:own_stress')}?request={wish.id}")
    asked = _asked(request)
    answer = asked.outcome if asked and asked.state == CommandRequest.State.DONE else None
    return show(
        request,
        "own_stress",
        "A scenario of your own",
        status=422 if form is not None else 200,
        form=form or OwnStressForm(initial=_initial(asked)),
        wish=asked,
        refused=asked.outcome if asked and asked.state == CommandRequest.State.REFUSED else None,
        answer=answer,
        as_of=datetime.fromisoformat(answer["as_of"]) if answer else None,
    )


def _asked(request: HttpRequest) -> CommandRequest | None:
    """The officer's own question."""
    wanted = request.GET.get("request")
    if not wanted:
        return None
    try:
        key = UUID(wanted)
    except ValueError:
        return None
    return soon(get_object_or_404(CommandRequest, id=key, user=request.user, command=COMMAND))


def _initial(asked: CommandRequest | None) -> dict[str, str]:
    if asked is None:
        return {}
    entered: dict[str, str] = asked.body["entered"]
    return entered | {f"coin-{coin}": move for coin, move in asked.body["moves"].items()}
