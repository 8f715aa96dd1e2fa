"""What may be asked for, by kind of act: read, made whole, and checked against the books. No chain is asked.

Amounts are base units as decimal strings, moments unix seconds as decimal strings or ISO, hashes hexadecimal.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from intermediary import clock
from intermediary.errors import BadInput, Refusal
from intermediary.models import Asset, Cell, ChainInstruction, ChainTarget, TermsVersion
from intermediary.terms import Terms
from intermediary.typed_data import signer_of
from settlement import chains, rights
from settlement.acts import books
from settlement.acts.amendments import message
from settlement.acts.restricted import refuse_unless_callable
from settlement.acts.rows import ChainAct
from settlement.acts.series import SeriesSpec
from settlement.models import ChainTransaction
from settlement.vault_terms import deployed_assets, refuse_without_caps

Body = dict[str, Any]
Asked = Mapping[str, Any]
Kind = ChainAct.Kind
UINT96 = 1 << 96
SIGNATURE_DIGITS = 132
# Between a proposal and the block that carries a rulebook two people decide, and a block is mined.
RULEBOOK_SLACK = timedelta(days=3)


def body_of(kind: ChainAct.Kind, asked: Asked) -> Body:
    """The whole body of an act of this chain. Refuses `bad_act` for what is missing or no value of its type."""
    try:
        body = _BODIES[kind](asked)
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput("bad_act", f"This does not say what is to be done: {type(error).__name__} {error}.") from error
    body = {"act": str(kind), "chain": chains.here(), **body}
    refuse_unless_possible(kind, body)
    return body


def cell_of(body: Body) -> Cell:
    """The relationship that an act is of; the house's cell for any other."""
    if "relationship" in body:
        return Cell.objects.get(code=body["relationship"])
    return Cell.objects.get(kind=Cell.Kind.HOUSE)


def refuse_unless_possible(kind: ChainAct.Kind, body: Body) -> None:
    """By the books as they are now: when it is proposed, and again when it is approved."""
    rule = _RULES.get(kind)
    if rule is not None:
        rule(body)
    books.refuse(kind, body)


def _relationship(asked: Asked) -> Body:
    cell = Cell.objects.get(code=asked["relationship"], kind=Cell.Kind.CLIENT)
    version = TermsVersion.objects.filter(cell=cell).order_by("-version").first()
    if version is None:
        raise Refusal("no_terms", "This relationship has no signed terms.", relationship=cell.code)
    terms = Terms.from_canonical(version.body)
    assets = deployed_assets()
    refuse_without_caps(terms, assets)  # before anybody decides
    codes = [asset.code for asset in assets]
    limits = {code: terms.most_required(code) for code in codes}
    limits |= {code: _amount(limit) for code, limit in asked.get("credit_limits", {}).items()}
    if set(limits) != set(codes):
        raise BadInput("unknown_asset", "A limit is of a token with a house on this chain.", assets=codes)
    return {
        "relationship": cell.code,
        "terms_hash": version.hash,
        "credit_limits": {code: str(limit) for code, limit in limits.items()},
        "signatures": {code: _hex(found) for code, found in asked.get("signatures", {}).items()},
    }


def _refuse_relationship(body: Body) -> None:
    here = ChainTarget.objects.filter(asset__chain__in=chains.asset_chains(), kind=ChainTarget.Kind.VAULT)
    if here.filter(cell__code=body["relationship"]).exists():
        raise Refusal("opened_already", f"{body['relationship']} has vaults on this chain.", **_of(body))
    newest = TermsVersion.objects.filter(cell__code=body["relationship"]).order_by("-version").first()
    if newest is None or newest.hash != body["terms_hash"]:
        raise Refusal("terms_have_changed", "These are not the relationship's terms any more.", **_of(body))
    _refuse_second(Kind.RELATIONSHIP, body)


def _refuse_second(kind: ChainAct.Kind, body: Body) -> None:
    """One act of a kind a relationship at a time: two would make two retentions."""
    for act in ChainAct.objects.filter(kind=kind, chain=chains.here(), state__in=ChainAct.UNFINISHED):
        if f'"relationship":"{body["relationship"]}"' in act.body:
            raise Refusal("act_under_way", f"{body['relationship']} is being opened already.", **_of(body))


def _of(body: Body) -> Body:
    return {"relationship": body["relationship"], "chain": body["chain"]}


def _amend(asked: Asked) -> Body:
    """`signatures`: by asset {"nonce", "signature"}, of the client under the terms in force."""
    version = TermsVersion.objects.filter(cell__code=asked["relationship"]).order_by("-version").first()
    if version is None:
        raise Refusal("no_terms", "This relationship has no signed terms.", relationship=asked["relationship"])
    vaults = ChainTarget.objects.filter(
        cell=version.cell, kind=ChainTarget.Kind.VAULT, asset__chain__in=chains.asset_chains()
    )
    addresses = dict(vaults.values_list("asset_id", "address"))
    signatures = {
        code: {
            "vault": addresses[code],
            "nonce": str(int(one["nonce"])),
            "signature": _hex(one["signature"]),
        }
        for code, one in asked["signatures"].items()
    }
    if not signatures:
        raise BadInput("no_signature", "An amendment needs the client's signature for each vault.")
    return {"relationship": asked["relationship"], "terms_hash": version.hash, "signatures": signatures}


def _refuse_amendment(body: Body) -> None:
    """A plain key's signature is checked here; a contract's (ERC-1271) only the vault can ask for."""
    terms = Terms.from_canonical(TermsVersion.objects.get(hash=body["terms_hash"]).body)
    for code, one in body["signatures"].items():
        said = message(
            chain_id=chains.configured().chain_id,
            vault=one["vault"],
            terms_hash=terms.hash,
            rulebook_hash=terms.rulebook_hash,
            nonce=int(one["nonce"]),
        )
        is_plain = len(one["signature"]) == SIGNATURE_DIGITS
        if is_plain and signer_of(said, one["signature"]) != to_checksum_address(terms.client):
            raise Refusal("not_the_clients_signature", f"The signature for the {code} vault is not the client's.")


def _series(asked: Asked) -> Body:
    spec = SeriesSpec.from_body(asked["spec"])
    cells = Cell.objects.filter(id__in=[cell for cell, _ in spec.slices], kind=Cell.Kind.CLIENT)
    if cells.count() != len({cell for cell, _ in spec.slices}) or not spec.slices or not spec.tranches:
        raise BadInput("bad_series", "A slice covers a relationship, and a series has slices and classes.")
    if any(len(principal) != len(spec.tranches) for _, principal in spec.slices):
        raise BadInput("bad_series", "Each slice has a principal for each class.")
    return {"series": spec.code, "spec": spec.body()}


def _refuse_series(body: Body) -> None:
    known = ChainTarget.objects.filter(kind=ChainTarget.Kind.ESCROW, creation__series=body["series"])
    if known.exists():
        raise Refusal("series_deployed", f"{body['series']} has an escrow already.", series=body["series"])
    spec = SeriesSpec.from_body(body["spec"])
    if not clock.now() < spec.subscribe_by < spec.final_maturity:
        raise Refusal("bad_dates", "Subscription ends later than now and before final maturity.", series=body["series"])


def _eligible(asked: Asked) -> Body:
    accounts = sorted({_address(one) for one in asked["accounts"]})
    if not accounts:
        raise BadInput("no_accounts", "Name the accounts.")
    return {"accounts": accounts, "until": str(_moment(asked["until"]))}


def _of_series(asked: Asked) -> Body:
    escrow = ChainTarget.objects.filter(kind=ChainTarget.Kind.ESCROW, creation__series=asked["series"]).first()
    if escrow is None:
        raise Refusal("no_escrow", f"{asked['series']} has no escrow on chain.", series=asked["series"])
    return {"series": asked["series"], "escrow": escrow.address}


def _allot(asked: Asked) -> Body:
    """`allotments`: for each class, junior first, units by account; 0 takes an allotment back."""
    allotments = [
        {_address(account): str(_amount(units, at_least=0)) for account, units in units_of.items()}
        for units_of in asked["allotments"]
    ]
    if not any(allotments):
        raise BadInput("no_accounts", "Name the accounts.")
    return _of_series(asked) | {"allotments": allotments}


def _refund(asked: Asked) -> Body:
    holders = [sorted({_address(one) for one in some}) for some in asked["holders"]]
    if not any(holders):
        raise BadInput("no_accounts", "Name the accounts.")
    return _of_series(asked) | {"holders": holders}


def _suspend(asked: Asked) -> Body:
    """Every class of the series, junior first."""
    series = _of_series(asked)["series"]
    notes = ChainTarget.objects.filter(kind=ChainTarget.Kind.NOTE, creation__series=series)
    junior_first = sorted(notes, key=lambda one: int(one.creation["tranche"]))
    return {"series": series, "notes": [one.address for one in junior_first], "until": str(_moment(asked["until"]))}


def _cap(asked: Asked) -> Body:
    asset = Asset.objects.get(code=asked["asset"], chain__in=chains.asset_chains())
    cap = _amount(asked["cap_base_units"])
    if cap >= UINT96:
        raise BadInput("cap_too_high", "The contract's caps are below 2^96 base units.", cap_base_units=str(cap))
    return {"asset": asset.code, "cap_base_units": str(cap)}


def _rulebook(asked: Asked) -> Body:
    hash_ = str(asked["hash"]).removeprefix("0x").lower()
    if len(bytes.fromhex(hash_)) != 32 or not asked["uri"]:
        raise BadInput("bad_rulebook", "A rulebook has the SHA-256 of its text, and a place where it is published.")
    return {
        "hash": hash_,
        "uri": str(asked["uri"]),
        "effective": str(_moment(asked["effective"])),
        "assets": [asset.code for asset in deployed_assets()],
    }


def _refuse_rulebook(body: Body) -> None:
    earliest = clock.now() + timedelta(seconds=rights.notice_seconds())
    if int(body["effective"]) < earliest.timestamp():
        raise Refusal(
            "too_soon",
            f"A rulebook holds after its notice: from {earliest:%Y-%m-%d %H:%M} UTC at the earliest.",
            earliest=earliest.isoformat(),
        )


def _notice(asked: Asked) -> Body:
    """`notice`: id of the instruction by which the loss was noticed."""
    instruction = ChainInstruction.objects.select_related("target").get(
        id=asked["notice"], kind=ChainInstruction.Kind.NOTICE_LOSS
    )
    sent = ChainTransaction.objects.filter(instruction=instruction, succeeded=True, contract_seq__isnull=False).first()
    if sent is None:
        raise Refusal("notice_not_on_chain", "This loss notice is not on chain.", notice=str(instruction.id))
    return {
        "notice": str(instruction.id),
        "series": instruction.target.creation["series"],
        "escrow": instruction.target.address,
        "number": str(sent.contract_seq),
        "noticed_base_units": str(instruction.amount_base_units),
    }


def _rule(asked: Asked) -> Body:
    body = _notice(asked)
    amount = _amount(asked["amount_base_units"], at_least=0)
    if amount > int(body["noticed_base_units"]):
        raise Refusal(
            "more_than_noticed",
            "A ruling leaves the loss that was noticed, or less.",
            noticed_base_units=body["noticed_base_units"],
            ruled_base_units=str(amount),
        )
    return body | {"amount_base_units": str(amount)}


def _call(asked: Asked) -> Body:
    body = {
        "contract": str(asked["contract"]),
        "to": _address(asked["to"]),
        "function": str(asked["function"]),
        "arguments": list(asked["arguments"]),
        "key": str(asked["key"]),
    }
    refuse_unless_callable(body)
    return body


def _amount(said: Any, at_least: int = 1) -> int:
    amount = int(said)
    if amount < at_least:
        raise BadInput("bad_amount", f"An amount is {at_least} base units or more.", amount=str(said))
    return amount


def _moment(said: Any) -> int:
    """Unix seconds, from them or from ISO."""
    text = str(said)
    return int(text) if text.isdecimal() else int(datetime.fromisoformat(text).timestamp())


def _address(said: Any) -> str:
    if not is_address(said):
        raise BadInput("bad_address", f"{said} is no address.")
    return str(to_checksum_address(said))


def _hex(said: Any) -> str:
    return "0x" + bytes.fromhex(str(said).strip().removeprefix("0x")).hex()


_BODIES: dict[ChainAct.Kind, Callable[[Asked], Body]] = {
    Kind.RELATIONSHIP: _relationship,
    Kind.AMEND: _amend,
    Kind.SERIES: _series,
    Kind.ELIGIBLE: _eligible,
    Kind.ALLOT: _allot,
    Kind.CLOSE: _of_series,
    Kind.PULL: _of_series,
    Kind.REFUND: _refund,
    Kind.SUSPEND: _suspend,
    Kind.CAP: _cap,
    Kind.CAP_NOW: _cap,
    Kind.RULEBOOK: _rulebook,
    Kind.CHALLENGE: _notice,
    Kind.RULE: _rule,
    Kind.CANCEL_LOSS: _notice,
    Kind.CALL: _call,
}
_RULES: dict[ChainAct.Kind, Callable[[Body], None]] = {
    Kind.RELATIONSHIP: _refuse_relationship,
    Kind.AMEND: _refuse_amendment,
    Kind.SERIES: _refuse_series,
    Kind.RULEBOOK: _refuse_rulebook,
    Kind.CALL: lambda body: refuse_unless_callable(body),
}
