"""Opening a relationship: what its party is and what its terms are, the messages that both sides sign, and the proposal
that a second officer decides on. Nothing is signed here: signatures are made in wallets, and entered.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from eth_utils.address import is_address, to_checksum_address

from intermediary import opening
from intermediary.canonical import sha256_hex
from intermediary.config.office.pages import show
from intermediary.errors import Refusal
from intermediary.models import Asset, Cell, Party
from intermediary.money import to_base_units
from intermediary.portal.wishes import ask
from intermediary.terms import Terms

RULESETS = ("standard", "worked-example")  # `risk.margin.ruleset.NAMES`, which loads the numeric stack
MINUTES = {
    "valuation_minutes": ("Between two valuations", 60),
    "acknowledge_minutes": ("To acknowledge a call", 60),
    "deliver_minutes": ("To deliver", 120),
    "grace_minutes": ("Of grace", 30),
    "cure_minutes": ("To cure a default", 60),
    "answer_minutes": ("To answer a request of the client on chain", 24 * 60),
    "exit_minutes": ("Until an exit on chain is ready", 5 * 24 * 60),
}
AMOUNTS = {
    "minimum_transfer_base_units": ("Minimum transfer, tokens", 100_000),
    "rounding_unit_base_units": ("Rounding, tokens", 10_000),
    "debit_cap_base_units": ("Most variation margin a day, tokens", 100_000_000),
    "max_required_base_units": ("Most that may be required, tokens", 100_000_000),
}
SIGNATURE = r"^(0x)?[0-9a-fA-F]{130}$"
ROWS = forms.Textarea(attrs={"rows": 2})


@cache
def rulebook_hash() -> str:
    """Of the rulebook that this release publishes."""
    return sha256_hex((Path(settings.BASE_DIR) / "docs" / "rulebook.md").read_text())


class AddressField(forms.CharField):
    """An EVM address, as people write it."""

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        if not text and not self.required:
            return ""
        if not is_address(text):
            raise forms.ValidationError("This is no address.")
        return str(to_checksum_address(text))


class OpeningForm(forms.Form):
    """Everything of a new relationship; its signatures come when the rest is agreed."""

    party_code = forms.RegexField(r"^[A-Z0-9-]{2,12}$", label="Code of the party", help_text="As others see it: P-109.")
    legal_name = forms.CharField(label="Legal name", max_length=200)
    kind = forms.ChoiceField(label="Kind", choices=[one for one in Party.Kind.choices if one[0] != Party.Kind.INVESTOR])
    jurisdiction = forms.RegexField(r"^[A-Z]{2}$", label="Jurisdiction", help_text="Two letters: GB.")
    netting_opinion = forms.ChoiceField(label="Netting opinion", choices=Party.NettingOpinion.choices)
    recourse = forms.ChoiceField(
        label="Recourse", choices=[one for one in Party.Recourse.choices if one[0] != Party.Recourse.CAPPED]
    )
    relationship = forms.RegexField(r"^[A-Z0-9-]{2,16}$", label="Code of the relationship", help_text="Public: R-109.")
    agreement = forms.RegexField(r"^[0-9a-f]{64}$", label="SHA-256 of the master agreement")
    client = AddressField(label="The client's wallet", max_length=42)
    payout = AddressField(label="Where payments go", max_length=42, help_text="The only place tokens leave to.")
    ruleset = forms.ChoiceField(label="Margin ruleset", choices=[(one, one) for one in RULESETS])
    rulebook_hash = forms.RegexField(r"^[0-9a-f]{64}$", label="SHA-256 of the rulebook", initial=rulebook_hash)
    interest_spread_bps = forms.IntegerField(label="Interest, bp over overnight", initial=-20)
    cross_default = forms.BooleanField(label="Cross default", required=False)
    reason = forms.CharField(label="Reason", min_length=8, max_length=1000, widget=ROWS)
    wallet_signature = forms.RegexField(SIGNATURE, label="The wallet's proof, by the client", required=False)
    client_signature = forms.RegexField(SIGNATURE, label="The terms, by the client", required=False)
    house_signature = forms.RegexField(SIGNATURE, label="The terms, by the house", required=False)
    house_signer = AddressField(label="The house's key", max_length=42, required=False)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, label_suffix="")
        for name, (label, usual) in MINUTES.items():
            self.fields[name] = forms.IntegerField(label=f"{label}, minutes", min_value=0, initial=usual)
        for name, (label, usual) in AMOUNTS.items():
            self.fields[name] = forms.DecimalField(label=label, min_value=0, initial=usual)
        self.assets = list(Asset.objects.order_by("-is_settlement", "code"))
        for asset in self.assets:
            field = forms.IntegerField(label=f"Haircut of {asset.code}, bp", min_value=0, max_value=10_000)
            field.initial = 0 if asset.is_settlement else 10_000
            self.fields[f"haircut_{asset.code}"] = field
        for asset in self.assets[1:]:
            label = f"Most {asset.code} that may be required, tokens"
            said = "Where its haircut is below 10,000 bp; else it counts for nothing."
            self.fields[f"most_{asset.code}"] = forms.DecimalField(
                label=label, min_value=0, required=False, help_text=said
            )
        late = ("reason", "wallet_signature", "client_signature", "house_signature", "house_signer")
        self.order_fields([name for name in self.fields if name not in late])

    def terms(self) -> Terms:
        """The terms as both sides sign them."""
        said = self.cleaned_data
        decimals = next((asset.decimals for asset in self.assets if asset.is_settlement), 6)
        plain = ("relationship", "agreement", "client", "payout", "rulebook_hash", "ruleset")
        body: dict[str, Any] = {name: said[name] for name in (*plain, "interest_spread_bps", "cross_default", *MINUTES)}
        body |= {name: to_base_units(said[name], decimals) for name in AMOUNTS}
        body["haircut_bps"] = {asset.code: said[f"haircut_{asset.code}"] for asset in self.assets}
        most = {asset: said[f"most_{asset.code}"] for asset in self.assets[1:]}
        body["max_required_by_token"] = {
            asset.code: to_base_units(amount, asset.decimals) for asset, amount in most.items() if amount is not None
        }
        return Terms.from_body(body)

    def party(self) -> dict[str, str]:
        said = self.cleaned_data
        return {"code": said["party_code"], **{name: said[name] for name in opening.PARTY if name != "code"}}

    def is_signed(self) -> bool:
        """Whether all is there to be proposed; the wallet's proof may be known already."""
        said = self.cleaned_data
        return all(said[name] for name in ("client_signature", "house_signature", "house_signer"))

    def body(self) -> dict[str, Any]:
        """The request's body."""
        signed = {name: self.cleaned_data[name] for name in opening.SIGNATURES}
        made = {"party": self.party(), "terms": self.terms().body(), **signed}
        return {"opening": made, "reason": self.cleaned_data["reason"]}


def new(request: HttpRequest) -> HttpResponse:
    """The form; the messages to be signed once it is filled in; a request for a proposal once it is signed."""
    form = OpeningForm(request.POST if request.method == "POST" else None)
    to_sign: dict[str, str] = {}
    if form.is_bound and form.is_valid():
        if form.is_signed():
            house = Cell.objects.filter(kind=Cell.Kind.HOUSE).first()
            return redirect("admin:request", ask(request, "propose_relationship", house, form.body()).id)
        try:
            said = opening.messages(form.party(), form.terms())
            to_sign = {name: json.dumps(one, indent=1) for name, one in said.items()}
        except Refusal as refusal:
            form.add_error(None, str(refusal))
    status = 422 if form.errors else 200
    return show(request, "opening", "Open a relationship", status=status, form=form, to_sign=to_sign)
