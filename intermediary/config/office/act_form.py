"""What the form of every act on chain has: the chain it is on, and why. The forms are in `act_forms`."""

from typing import Any

from django import forms

from settlement import chains
from settlement.acts.rows import ChainAct

Kind = ChainAct.Kind


class ActForm(forms.Form):
    """What every act needs: the chain it is on, and why."""

    kind: Kind
    title = ""
    text = ""

    chain = forms.ChoiceField(label="Chain", required=False)
    reason = forms.CharField(label="Reason", min_length=8, max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, label_suffix="", auto_id=f"{self.kind.lower()}-%s")
        names = chains.names()
        chain = self.fields["chain"]
        assert isinstance(chain, forms.ChoiceField)
        chain.choices = [(name, name) for name in names]
        if len(names) == 1:
            del self.fields["chain"]
        self.order_fields([name for name in self.fields if name != "reason"])
        self.choose()

    def choose(self) -> None:
        """Fill in what there is to choose from now."""

    def options(self, name: str, choices: list[tuple[str, str]]) -> None:
        """What may be chosen in one field."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def asked(self) -> dict[str, Any]:
        """The act's body as it is asked for."""
        raise NotImplementedError

    def body(self) -> dict[str, Any]:
        """The request's body."""
        said = self.cleaned_data
        return {
            "kind": str(self.kind),
            "chain": said.get("chain", ""),
            "asked": self.asked(),
            "reason": said["reason"],
        }
