"""What a client can fill in. A form checks shape only; rules are the commands' own and answer with their numbers."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core import signing

from intermediary.models import Asset, Instrument
from intermediary.money import from_base_units, to_base_units

REVIEW_LIFE_S = 300  # a reviewed figure older than five minutes is reviewed again
SALT = "bulkhead.withdrawal"


class AmountField(forms.DecimalField):
    """An amount in whole tokens, typed with or without thousands separators."""

    def to_python(self, value: Any) -> Any:
        """The decimal that was typed, or None."""
        return super().to_python(value.replace(",", "").replace(" ", "") if isinstance(value, str) else value)


class WithdrawalForm(forms.Form):
    """How much of which asset to take out."""

    asset = forms.ModelChoiceField(Asset.objects.order_by("-is_settlement", "code"), empty_label=None)
    amount = AmountField(min_value=Decimal("0.00000001"), max_digits=30, decimal_places=8, widget=forms.TextInput)

    def clean(self) -> dict[str, Any]:
        """Adds `amount_base_units`; refuses more decimals than the token has."""
        found = super().clean() or {}
        asset, amount = found.get("asset"), found.get("amount")
        if asset is not None and amount is not None:
            try:
                found["amount_base_units"] = to_base_units(amount, asset.decimals)
            except ValueError:
                self.add_error("amount", f"{asset.code} has {asset.decimals} decimals; the amount has more.")
        return found


class DepositForm(WithdrawalForm):
    """How much of which asset to bring; the same shape as taking it out."""


class ProofForm(forms.Form):
    """What a wallet signed: the page fills it in."""

    address = forms.RegexField(r"^0x[0-9a-fA-F]{40}$", widget=forms.HiddenInput)
    signature = forms.RegexField(r"^0x[0-9a-fA-F]{130}$", widget=forms.HiddenInput)


class TradeForm(forms.Form):
    """What was agreed with the other side."""

    side = forms.ChoiceField(choices=[("BUY", "We bought"), ("SELL", "We sold")], widget=forms.RadioSelect)
    counterparty = forms.CharField(max_length=16, help_text="The anonymous code of the other side, as R-102")
    instrument = forms.ModelChoiceField(Instrument.objects.order_by("code"), to_field_name="code", empty_label=None)
    quantity = AmountField(
        min_value=Decimal("0.00000001"), max_digits=26, decimal_places=8, widget=forms.TextInput, help_text="Coins"
    )
    price = AmountField(
        min_value=Decimal("0.0000000001"), max_digits=28, decimal_places=10, widget=forms.TextInput,
        help_text="Dollars a coin",
    )  # fmt: skip


class PledgeForm(forms.Form):
    """How much is on its way, in the settlement token."""

    amount = AmountField(min_value=Decimal("0.000001"), max_digits=30, decimal_places=6, widget=forms.TextInput)


def seal(body: dict[str, Any]) -> str:
    """Exactly what was reviewed, signed, so that a confirmation cannot confirm anything else."""
    return signing.dumps(body, salt=SALT)


def unseal(text: str) -> dict[str, Any] | None:
    """What was reviewed; None when it is too old or not ours."""
    try:
        body: dict[str, Any] = signing.loads(text, salt=SALT, max_age=REVIEW_LIFE_S)
    except signing.BadSignature:
        return None
    return body


def whole_tokens(amount_base_units: int, decimals: int) -> str:
    """An amount for an input box: exact, in groups of three, without trailing zeros."""
    return f"{from_base_units(amount_base_units, decimals).normalize():,f}"
