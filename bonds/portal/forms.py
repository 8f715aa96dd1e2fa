"""What an investor can fill in. A form checks shape only; rules are the commands' own and answer with their numbers."""

from typing import Any

from django import forms

from bonds.models.eligibility import DocumentKind, InvestorClass

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
