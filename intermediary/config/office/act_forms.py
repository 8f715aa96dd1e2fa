"""The forms by which an officer proposes an act on chain: one for each kind that people ask for by hand.

Each says what is asked (`settlement.acts.wanted`); whether it may be is the worker's question, and the contract's.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms

from bonds.models import Offering
from intermediary import queries
from intermediary.config import issuance_spec
from intermediary.config.office.act_form import ActForm as ActForm
from intermediary.config.office.note_act_forms import NOTE_FORMS
from intermediary.models import Asset, Cell, ChainInstruction, ChainTarget
from intermediary.money import from_base_units, to_base_units
from settlement.acts.restricted import callable_functions
from settlement.acts.rows import ChainAct
from settlement.models import ChainLog, ChainTransaction

Kind = ChainAct.Kind
NOTICE_DAYS = 34  # of a rulebook: its thirty days, and those in which two people decide and a block is mined
MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class SignaturesField(forms.CharField):
    """The client's signatures as JSON, by token; empty where they come later."""

    widget = forms.Textarea(attrs={"rows": 3, "placeholder": '{"USDC": "0x…"}', "class": "mono"})

    def clean(self, value: Any) -> dict[str, str]:
        text = str(super().clean(value) or "{}")
        try:
            found = json.loads(text)
            return {str(code): str(bytes.fromhex(one.removeprefix("0x")).hex()) for code, one in found.items()}
        except (ValueError, AttributeError, TypeError):
            raise forms.ValidationError("Write JSON: a token's code and its signature in hexadecimal.") from None


class RelationshipForm(ActForm):
    """Open the vaults and the retention of a relationship with signed terms."""

    kind = Kind.RELATIONSHIP
    title = "Open a relationship"
    text = (
        "Opens a vault a token and the retention, under the newest signed terms. The house accepts them a day after"
        " each was scheduled."
    )

    relationship = forms.ChoiceField(label="Relationship")
    signatures = SignaturesField(
        label="The client's signatures",
        required=False,
        help_text="Of the messages that chain_acts --messages prints. Without them the terms are recorded later.",
    )

    def choose(self) -> None:
        opened = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT).values("cell")
        cells = Cell.objects.filter(kind=Cell.Kind.CLIENT, terms_versions__isnull=False).exclude(id__in=opened)
        codes = cells.order_by("code").distinct().values_list("code", flat=True)
        self.options("relationship", [(code, code) for code in codes])

    def asked(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("relationship", "signatures")}


class AmendForm(ActForm):
    """Record newer terms or a newer rulebook in a relationship's vaults."""

    kind = Kind.AMEND
    title = "Record amended terms"
    text = "Records the newest signed terms and their rulebook in each vault, with the client's signature."

    relationship = forms.ChoiceField(label="Relationship")
    nonce = forms.IntegerField(label="Number of the amendment", min_value=1, help_text="As the signed messages say.")
    signatures = SignaturesField(
        label="The client's signatures", help_text="Of the messages that chain_acts --messages prints."
    )

    def choose(self) -> None:
        opened = ChainTarget.objects.filter(kind=ChainTarget.Kind.VAULT)
        codes = opened.order_by("cell__code").values_list("cell__code", flat=True).distinct()
        self.options("relationship", [(code, code) for code in codes])

    def asked(self) -> dict[str, Any]:
        said = self.cleaned_data
        signed = {code: {"nonce": str(said["nonce"]), "signature": one} for code, one in said["signatures"].items()}
        return {"relationship": said["relationship"], "signatures": signed}


class SeriesForm(ActForm):
    """Deploy the escrow and notes of a series that was structured."""

    kind = Kind.SERIES
    title = "Set up a series"
    text = "Makes the escrow and a contract a class, adds the slices and opens the offering, by the series' terms."

    series = forms.ChoiceField(label="Series", help_text="Allocated, and to be paid for: its size is what was sold.")

    def choose(self) -> None:
        waiting = Offering.objects.filter(state=Offering.State.ALLOCATED, series__escrow=None).order_by("series__code")
        self.options("series", [(code, code) for code in waiting.values_list("series__code", flat=True)])

    def asked(self) -> dict[str, Any]:
        offering = Offering.objects.select_related("series").get(series__code=self.cleaned_data["series"])
        return {"spec": issuance_spec.chain_spec(offering).body()}


class CapForm(ActForm):
    """Change what may leave a house a day."""

    kind = Kind.CAP
    title = "Change an outflow cap"
    text = (
        "Two days after it was scheduled, or at once with the approver's signature as well: for a day on which"
        " payments to clients would fail."
    )

    asset = forms.ChoiceField(label="House of")
    cap = forms.DecimalField(label="Cap a day, in tokens", min_value=0)
    at_once = forms.BooleanField(label="At once", required=False)

    def choose(self) -> None:
        houses = ChainTarget.objects.filter(kind=ChainTarget.Kind.HOUSE).order_by("asset_id")
        self.options("asset", [(code, code) for code in houses.values_list("asset_id", flat=True)])

    def asked(self) -> dict[str, Any]:
        asset = Asset.objects.get(code=self.cleaned_data["asset"])
        return {"asset": asset.code, "cap_base_units": str(to_base_units(self.cleaned_data["cap"], asset.decimals))}

    def body(self) -> dict[str, Any]:
        kind = Kind.CAP_NOW if self.cleaned_data["at_once"] else Kind.CAP
        return super().body() | {"kind": str(kind)}


class RulebookForm(ActForm):
    """Publish a later rulebook."""

    kind = Kind.RULEBOOK
    title = "Publish a rulebook"
    text = "Its hash and place go on chain now; it holds thirty days later at the earliest, for whoever signs it."

    hash = forms.RegexField(r"^(0x)?[0-9a-fA-F]{64}$", label="SHA-256 of its text")
    uri = forms.CharField(label="Where it is published", max_length=200)
    effective = forms.DateTimeField(label="Holds from (UTC)", widget=MOMENT)

    def choose(self) -> None:
        begins = queries.platform_clock().now + timedelta(days=NOTICE_DAYS)
        self.fields["effective"].initial = begins.replace(hour=0, minute=0, second=0, microsecond=0)

    def asked(self) -> dict[str, Any]:
        said = self.cleaned_data
        effective = said["effective"].astimezone(UTC).isoformat()
        return {"hash": said["hash"].removeprefix("0x").lower(), "uri": said["uri"], "effective": effective}


class NoticeForm(ActForm):
    """What becomes of a loss notice that is on chain and not applied yet."""

    kind = Kind.RULE
    title = "Loss notices"
    text = "The trustee challenges a notice; the expert rules on it; the operator takes one back that was wrong."

    act = forms.ChoiceField(
        label="Act",
        choices=[(str(one), one.label) for one in (Kind.CHALLENGE, Kind.RULE, Kind.CANCEL_LOSS)],
    )
    notice = forms.ChoiceField(label="Notice")
    amount = forms.DecimalField(label="Loss that the ruling leaves, USDC", min_value=0, required=False)

    def choose(self) -> None:
        self.options("notice", [(str(one.id), _words(one)) for one in open_notices()])

    def clean(self) -> dict[str, Any]:
        """A ruling says what it leaves."""
        found = super().clean() or {}
        if found.get("act") == Kind.RULE and found.get("amount") is None:
            self.add_error("amount", "Say what the ruling leaves of the loss; 0 drops the notice.")
        return found

    def asked(self) -> dict[str, Any]:
        said = self.cleaned_data
        asked = {"notice": said["notice"]}
        if said["act"] == Kind.RULE:
            target = ChainInstruction.objects.select_related("target__asset").get(id=said["notice"]).target
            asked["amount_base_units"] = str(to_base_units(said["amount"], target.asset.decimals))
        return asked

    def body(self) -> dict[str, Any]:
        return super().body() | {"kind": self.cleaned_data["act"]}


class CallForm(ActForm):
    """Any other restricted function."""

    kind = Kind.CALL
    title = "Any other restricted call"
    text = "A function of the table of roles that neither the ledger sends nor an act above makes."

    function = forms.ChoiceField(label="Function")
    to = forms.RegexField(r"^0x[0-9a-fA-F]{40}$", label="Contract")
    arguments = forms.JSONField(
        label="Arguments", initial=list, help_text="A JSON list; whole numbers as strings of digits, bytes as 0x."
    )

    def choose(self) -> None:
        listed = [
            (f"{name} {signature} {key}", f"{name}.{signature} by the {key}'s key ({role})")
            for name, signature, role, key in callable_functions()
        ]
        self.options("function", listed)

    def asked(self) -> dict[str, Any]:
        said = self.cleaned_data
        name, signature, key = said["function"].split(" ")
        function = signature.partition("(")[0]
        return {
            "contract": name, "function": function, "key": key, "to": said["to"], "arguments": said["arguments"],
        }  # fmt: skip


_BEFORE: tuple[type[ActForm], ...] = (RelationshipForm, AmendForm, SeriesForm)
_AFTER: tuple[type[ActForm], ...] = (CapForm, RulebookForm, NoticeForm, CallForm)
FORMS: Mapping[str, type[ActForm]] = {form.kind.lower(): form for form in (*_BEFORE, *NOTE_FORMS, *_AFTER)}


def open_notices() -> list[ChainInstruction]:
    """Loss notices that are on chain and neither applied, taken back nor ruled to nothing, newest first."""
    numbers = ChainTransaction.objects.filter(succeeded=True, contract_seq__isnull=False, instruction__isnull=False)
    noticed = numbers.filter(instruction__kind=ChainInstruction.Kind.NOTICE_LOSS)
    logs = ChainLog.objects.filter(name__in=("LossApplied", "LossCancelled"), block__canonical=True)
    over = {(log.address, int(log.topics[2], 16)) for log in logs}
    rulings = ChainLog.objects.filter(name="NoticeRuled", block__canonical=True)
    over |= {(log.address, int(log.topics[1], 16)) for log in rulings if int(log.data, 16) == 0}
    found = noticed.select_related("instruction__target__asset", "instruction__cell").order_by("-id")
    return [one.instruction for one in found if one.instruction and (one.to, one.contract_seq) not in over]


def _words(one: ChainInstruction) -> str:
    amount = from_base_units(one.amount_base_units, one.target.asset.decimals)
    when: datetime = one.at
    return f"{one.target.creation['series']}, {one.cell.code}: {amount:,.2f} {one.target.asset_id}, {when:%d %b %Y}"
