"""What an investor can fill in. A form checks shape only; rules are the commands' own and answer with their numbers."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from eth_utils.address import to_checksum_address

from bonds.models import Tranche
from bonds.models.eligibility import DocumentKind, InvestorClass
from bonds.portal.queries import HoldingView
from bonds.servicing.rolls import SPREAD_BPS_MAX
from intermediary.money import from_base_units, to_base_units
from intermediary.portal.forms import AmountField

HASH = r"^[0-9a-fA-F]{64}$"


class HashInput(forms.TextInput):
    """Sixty-four hex digits; the page fills them in from a file that never leaves the browser (`file-hash.js`)."""

    def __init__(self) -> None:
        super().__init__({"autocomplete": "off", "spellcheck": "false", "class": "mono", "maxlength": "64"})


class ApplicationForm(forms.Form):
    """Which wallet, on which ground, and the hash of each document."""

    investor_class = forms.ChoiceField(choices=InvestorClass.choices, label="Class of investor")

    def __init__(self, wallets: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(address, address) for address in wallets]
        self.fields = {"address": forms.ChoiceField(choices=choices, label="Wallet")} | self.fields
        for kind in DocumentKind:
            wrong = {"required": "Give its hash.", "invalid": "A SHA-256 has 64 hex digits."}
            self.fields[kind.value] = forms.RegexField(
                HASH, label=kind.label, widget=HashInput(), error_messages=wrong, strip=True
            )

    @property
    def documents(self) -> list[forms.BoundField]:
        """The fields of the documents, in their order."""
        return [self[kind.value] for kind in DocumentKind]

    def body(self) -> dict[str, Any]:
        """What is asked for, as a request keeps it."""
        found = self.cleaned_data
        return {
            "address": found["address"],
            "investor_class": found["investor_class"],
            "documents": {kind.value: found[kind.value].lower() for kind in DocumentKind},
        }


class TransferForm(forms.Form):
    """Which holding, how many units, to whom."""

    holding = forms.ChoiceField(label="Notes")
    amount = AmountField(
        label="Units", help_text="A unit is one of original face, written in USDC: 250,000 or 0.000001",
        min_value=Decimal("0.000001"), max_digits=30, decimal_places=6, widget=forms.TextInput,
    )  # fmt: skip
    receiver = forms.RegexField(
        r"^0x[0-9a-fA-F]{40}$",
        label="To the wallet",
        help_text="Of an eligible holder",
        error_messages={"invalid": "An address is 0x and 40 hex digits."},
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )

    def __init__(self, held: Sequence[HoldingView], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = {str(one.holding.id): one for one in held}
        self.fields["holding"].choices = [  # type: ignore[attr-defined]  # of a ChoiceField
            (key, f"{one.of.tranche.symbol}, {one.holding.wallet.address[:8]}…: {_units(one)}")
            for key, one in self._held.items()
        ]

    def body(self) -> dict[str, Any]:
        """What is asked for, as a request keeps it; units are base units of original face."""
        one = self._held[self.cleaned_data["holding"]]
        return {
            "holding": str(one.holding.id),
            "tranche": str(one.of.tranche.id),
            "wallet": one.holding.wallet.address,
            "receiver": to_checksum_address(self.cleaned_data["receiver"]),
            "units": to_base_units(self.cleaned_data["amount"], one.of.tranche.series.currency.decimals),
        }


class RollForm(forms.Form):
    """Which holding's repayments are meant for which class on sale, and from which spread."""

    holding = forms.ChoiceField(label="What is repaid of")
    into = forms.ChoiceField(label="Goes into")
    minimum_spread_bps = forms.IntegerField(
        label="Minimum spread",
        help_text="Whole basis points a year over the collateral yield, as in a bid; 0 for any. We can read it: your"
        " sealed bid may ask for more.",
        min_value=0,
        max_value=SPREAD_BPS_MAX,
        initial=0,
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"invalid": "A spread is a whole number of basis points."},
    )

    def __init__(self, held: Sequence[HoldingView], classes: Sequence[Tranche], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = {str(one.holding.id): one for one in held}
        self.fields["holding"].choices = [  # type: ignore[attr-defined]  # of a ChoiceField
            (
                key,
                f"{one.of.tranche.symbol}, {one.holding.wallet.address[:8]}…: {_money(one, one.principal_base_units)}",
            )
            for key, one in self._held.items()
        ]
        self.fields["into"].choices = [  # type: ignore[attr-defined]  # of a ChoiceField
            (str(one.id), f"{one.symbol} of {one.series.code}: {_guidance(one)}") for one in classes
        ]

    def body(self) -> dict[str, Any]:
        """What is asked for, as a request keeps it."""
        one = self._held[self.cleaned_data["holding"]]
        return {
            "tranche": str(one.of.tranche.id),
            "wallet": one.holding.wallet.address,
            "into": self.cleaned_data["into"],
            "minimum_spread_bps": self.cleaned_data["minimum_spread_bps"],
        }


def _guidance(tranche: Tranche) -> str:
    return "no guidance yet" if tranche.guidance_bps is None else f"guidance {tranche.guidance_bps:,} bp"


def _money(one: HoldingView, amount: int) -> str:
    return f"{from_base_units(amount, one.of.tranche.series.currency.decimals):,.2f}"


def _units(one: HoldingView) -> str:
    return _money(one, one.holding.units)
