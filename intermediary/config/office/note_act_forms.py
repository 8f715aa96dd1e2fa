"""The forms of acts on a sale of notes, on the register of holders, and on transfers: each takes what it does from the
books, and an officer names the series or the moment alone.
"""

from datetime import datetime
from typing import Any

from django import forms

from bonds.models import Offering
from bonds.offering import eligibility
from intermediary import queries
from intermediary.config import suspensions
from intermediary.config.office.act_form import ActForm, Kind

SELLING = (Offering.State.ALLOCATED, Offering.State.PULLED)


class SaleForm(ActForm):
    """Allot, close, pull or refund, where the structurer's key is held elsewhere."""

    kind = Kind.ALLOT
    title = "Go on with a sale"
    text = (
        "Allots what is due, or takes back what is unpaid when the time to pay is over; closes what is paid for; pulls"
        " an offering and pays its subscribers back. Wallets and amounts are those of the books."
    )

    act = forms.ChoiceField(
        label="Act",
        choices=[(str(one), one.label) for one in (Kind.ALLOT, Kind.CLOSE, Kind.PULL, Kind.REFUND)],
    )
    series = forms.ChoiceField(label="Series", help_text="With an escrow on chain, and not issued.")

    def choose(self) -> None:
        selling = Offering.objects.filter(state__in=SELLING).exclude(series__escrow=None).order_by("series__code")
        self.options("series", [(code, code) for code in selling.values_list("series__code", flat=True)])

    def asked(self) -> dict[str, Any]:
        return {"series": self.cleaned_data["series"]}

    def body(self) -> dict[str, Any]:
        return super().body() | {"kind": self.cleaned_data["act"]}


class HoldersForm(ActForm):
    """Enter wallets that two officers let hold notes."""

    kind = Kind.ELIGIBLE
    title = "Enter eligible holders"
    text = "Enters in the register on chain the wallets that were granted to hold notes and that it does not show yet."

    until = forms.ChoiceField(label="Granted until")

    def choose(self) -> None:
        counts: dict[datetime, int] = {}
        for grant in eligibility.to_enter():
            counts[grant.valid_until] = counts.get(grant.valid_until, 0) + 1
        listed = [(f"{int(until.timestamp())}", f"{until:%d %b %Y %H:%M} UTC: {counts[until]}") for until in counts]
        self.options("until", listed)

    def asked(self) -> dict[str, Any]:
        until = int(self.cleaned_data["until"])
        waiting = [one for one in eligibility.to_enter() if int(one.valid_until.timestamp()) == until]
        return {"until": str(until), "accounts": sorted({one.wallet.address for one in waiting})}


class SuspendForm(ActForm):
    """Let transfers rest on chain as they rest here, or go on."""

    kind = Kind.SUSPEND
    title = "Suspend transfers of notes"
    text = "On chain as on the platform: from a lapsed call to its notice, and on again after that. Holds a day later."

    series = forms.ChoiceField(label="Series")

    def choose(self) -> None:
        self._due = {one.series: one for one in suspensions.due(queries.platform_clock().now)}
        self.options("series", [(code, f"{code}: {one.words}") for code, one in self._due.items()])

    def asked(self) -> dict[str, Any]:
        series = self.cleaned_data["series"]
        return {"series": series, "until": self._due[series].moment}


NOTE_FORMS: tuple[type[ActForm], ...] = (SaleForm, HoldersForm, SuspendForm)
