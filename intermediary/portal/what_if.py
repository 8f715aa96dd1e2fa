"""What-if: a client adds trades that it only considers and sees its requirement, the next call and the admission test
before and after. The page stores the question as a wish; a worker that holds the numbers answers it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from intermediary import access
from intermediary.call_forecast import fall_to_call, forecasts
from intermediary.models import Cell, CommandRequest, Instrument, MarginState
from intermediary.portal import wishes
from intermediary.portal.forms import AmountField
from intermediary.portal.views import context_of, of_cell
from intermediary.terms import Terms

COMMAND = "what_if"
LINES, LINES_MAX = 3, 20  # shown at first and at most: what a person can weigh on one page


class ConsideredForm(forms.Form):
    """One trade that is only considered; a line without a quantity is no trade."""

    side = forms.ChoiceField(choices=[("BUY", "We buy"), ("SELL", "We sell")])
    instrument = forms.ModelChoiceField(Instrument.objects.order_by("code"), to_field_name="code", empty_label=None)
    quantity = AmountField(
        min_value=Decimal("0.00000001"), max_digits=26, decimal_places=8, widget=forms.TextInput, required=False
    )


def lines_of(count: int, form: type[ConsideredForm] = ConsideredForm) -> "type[BaseFormSet[ConsideredForm]]":
    """The lines of a question, `count` of them empty ones."""
    return formset_factory(form, extra=count, max_num=LINES_MAX, absolute_max=LINES_MAX)


@require_http_methods(["GET", "HEAD", "POST"])
@of_cell
def what_if(request: HttpRequest, cell: Cell) -> HttpResponse:
    """The form, and the answer to the last question asked with it (`?request=`), also as a file (`&as=json`)."""
    wish = wishes.asked_before(request, COMMAND, cell)
    if wish is not None and "as" in request.GET:
        return as_file(wish, cell)
    if request.method == "POST":
        bound = lines_of(0)(longer(request.POST) if "more" in request.POST else request.POST)
        trades = trades_of(bound) if bound.is_valid() else []
        if trades and "more" not in request.POST:
            asked = wishes.ask(request, COMMAND, cell, {"trades": trades})
            return redirect(f"{reverse('portal:what_if', args=[cell.code])}?request={asked.id}#answer")
        nothing = bound.is_valid() and not trades and "more" not in request.POST
        return _page(request, cell, bound, None, nothing=nothing)
    return _page(request, cell, started(wish), wishes.soon(wish) if wish else None)


def _page(
    request: HttpRequest, cell: Cell, lines: "BaseFormSet[Any]", wish: CommandRequest | None, *, nothing: bool = False
) -> HttpResponse:
    page = context_of(cell)
    answer = None
    if wish is not None and wish.state == CommandRequest.State.DONE and wish.outcome is not None:
        answer = answer_of(wish.outcome, page["terms"])
    return render(
        request,
        "portal/what_if.html",
        page | {"lines": lines, "wish": wish, "answer": answer, "nothing": nothing, "most": LINES_MAX},
    )


def as_file(wish: CommandRequest, cell: Cell) -> HttpResponse:
    """The answer as the worker gave it, JSON to keep: amounts are base units of the settlement token, exact."""
    if wish.state != CommandRequest.State.DONE or wish.outcome is None:
        raise access.not_found()
    answer = JsonResponse({"relationship": cell.code, "asked_at": wish.at.isoformat()} | wish.outcome)
    answer["Content-Disposition"] = f'attachment; filename="what-if-{cell.code}-{wish.at:%Y%m%d-%H%M%S}.json"'
    return answer


def started(wish: CommandRequest | None, form: type[ConsideredForm] = ConsideredForm) -> "BaseFormSet[ConsideredForm]":
    """Empty lines, or those of the question that is shown, so that it can be changed."""
    trades = wish.body["trades"] if wish else []
    initial = [
        {
            "side": "SELL" if one["quantity"].startswith("-") else "BUY",
            "instrument": one["instrument"],
            "quantity": one["quantity"].lstrip("-"),
        }
        for one in trades
    ]
    return lines_of(max(1, LINES - len(initial)), form)(initial=initial)


def longer(posted: QueryDict) -> QueryDict:
    """What was filled in, with more empty lines."""
    changed = posted.copy()
    total = changed.get("form-TOTAL_FORMS", "")
    changed["form-TOTAL_FORMS"] = str(min(LINES_MAX, (int(total) if total.isdigit() else 0) + LINES))
    return changed


def trades_of(lines: "BaseFormSet[Any]") -> list[dict[str, str]]:
    """The lines that say how much, quantities signed."""
    found = []
    for line in lines.cleaned_data:
        if line.get("quantity"):
            sign = "-" if line["side"] == "SELL" else ""
            found.append({"instrument": line["instrument"].code, "quantity": f"{sign}{line['quantity']:f}"})
    return found


@dataclass(frozen=True)
class Compared:
    """One figure before and after."""

    name: str
    before: Any
    after: Any

    @property
    def change(self) -> Any:
        """After less before."""
        return self.after - self.before


def answer_of(outcome: dict[str, Any], terms: Terms | None) -> dict[str, Any]:
    """What the page shows of the worker's answer; the forecast is that of the overview, on both states."""
    before, after = (_state_of(outcome[name]) for name in ("before", "after"))
    lines = zip(outcome["before"]["breakdown"]["lines"], outcome["after"]["breakdown"]["lines"], strict=True)
    coins = outcome.get("coins_base_units", 0)  # absent from answers that were stored before it was told
    expected = zip(forecasts(before, terms, coins), forecasts(after, terms, coins), strict=True)
    return outcome | {
        "as_of": datetime.fromisoformat(outcome["as_of"]),
        "trades": [
            one | {"quantity": Decimal(one["quantity"]), "price": Decimal(one["price"])} for one in outcome["trades"]
        ],
        "before": before,
        "after": after,
        "lines": [Compared(name, amount, new) for (name, amount), (_, new) in lines],
        "sum": Compared("", outcome["before"]["breakdown"]["total"], outcome["after"]["breakdown"]["total"]),
        "forecasts": [Compared(old.move, old.call_base_units, new.call_base_units) for old, new in expected],
        "falls": Compared("", fall_to_call(before, terms, coins), fall_to_call(after, terms, coins)),
        "headroom_change": after.headroom_base_units - before.headroom_base_units,
        "required_change": after.required_base_units - before.required_base_units,
        "credit": _credit(outcome.get("credit_charge")),
    }


def _credit(charge: dict[str, Any] | None) -> dict[str, Any]:
    """What each layer costs before and after; the tail's series, where one carries it, with its price of risk."""
    if not charge or not charge["layers"]:
        return {}
    carried = next((row for row in charge["layers"] if row["series"]), {"series": "", "price_of_risk": 1.0})
    return charge | {
        "layers": [row | {"charge": _charge(row)} for row in charge["layers"]],
        "charge": _charge(charge),
        "series": carried["series"],
        "price_of_risk": carried["price_of_risk"],
    }


def _charge(found: dict[str, Any]) -> Compared:
    return Compared("", found["before"]["charge_base_units"], found["after"]["charge_base_units"])


def _state_of(figures: dict[str, Any]) -> MarginState:
    """A margin state that is stored nowhere."""
    return MarginState(**figures)
