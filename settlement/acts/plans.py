"""From what two people decided to the steps that do it, and what is written down here once they are done."""

import json
from collections.abc import Callable
from typing import Any

from intermediary.models import Cell, TermsVersion
from intermediary.terms import Terms
from settlement.acts import caps, relationship, series, singles
from settlement.acts.amendments import amendment_steps
from settlement.acts.rows import ChainAct
from settlement.acts.series import SeriesSpec
from settlement.acts.steps import Made, Steps
from settlement.chain import Chain
from settlement.vault_terms import deployed_assets, predict_vaults

Body = dict[str, Any]
Kind = ChainAct.Kind


def steps_of(chain: Chain, act: ChainAct, made: Made) -> Steps:
    """Every step of the act in its order. `made` must hold the address of a contract before the step after it is asked
    for. Raises Refusal for what cannot be carried out."""
    return _PLANS[Kind(act.kind)](chain, act, body_of(act), made)


def body_of(act: ChainAct) -> Body:
    """What was decided."""
    said: Body = json.loads(act.body)
    return said


def record(chain: Chain, act: ChainAct, made: Made) -> dict[str, Any]:
    """Write down what the act made, which is final; in the transaction that ends it. What others are told of it."""
    body = body_of(act)
    if act.kind == Kind.RELATIONSHIP:
        terms = _terms(body)
        cell = Cell.objects.get(code=terms.relationship)
        vaults = predict_vaults(chain=chain, terms=terms)
        relationship.record(cell, terms, deployed_assets(), vaults, made)
    if act.kind == Kind.SERIES:
        spec = SeriesSpec.from_body(body["spec"])
        targets = series.record(spec, made)
        return {"series": spec.code, "escrow": targets.escrow.address, "notes": [one.address for one in targets.notes]}
    return {key: body[key] for key in ("series", "relationship") if key in body}


def _terms(body: Body) -> Terms:
    return Terms.from_canonical(TermsVersion.objects.get(hash=body["terms_hash"]).body)


def _relationship(chain: Chain, act: ChainAct, body: Body, made: Made) -> Steps:
    terms = _terms(body)
    vaults = predict_vaults(chain=chain, terms=terms)
    limits = {code: int(amount) for code, amount in body["credit_limits"].items()}
    signed = {code: bytes.fromhex(found.removeprefix("0x")) for code, found in body["signatures"].items()}
    return relationship.steps(terms, deployed_assets(), vaults, limits, signed, made)


def _amend(chain: Chain, act: ChainAct, body: Body, made: Made) -> Steps:
    """The vaults stand where their first terms put them; what is recorded are the terms in force."""
    signed = {
        code: (int(one["nonce"]), bytes.fromhex(one["signature"].removeprefix("0x")))
        for code, one in body["signatures"].items()
    }
    return amendment_steps(_terms(body), {code: one["vault"] for code, one in body["signatures"].items()}, signed)


_Plan = Callable[[Chain, ChainAct, Body, Made], Steps]
_PLANS: dict[Kind, _Plan] = {
    Kind.RELATIONSHIP: _relationship,
    Kind.AMEND: _amend,
    Kind.SERIES: lambda chain, act, body, made: series.steps(SeriesSpec.from_body(body["spec"]), made),
    Kind.ELIGIBLE: lambda chain, act, body, made: singles.eligible(body),
    Kind.ALLOT: lambda chain, act, body, made: singles.allot(body),
    Kind.CLOSE: lambda chain, act, body, made: singles.close(body),
    Kind.PULL: lambda chain, act, body, made: singles.pull(body),
    Kind.REFUND: lambda chain, act, body, made: singles.refund(chain, body),
    Kind.SUSPEND: lambda chain, act, body, made: singles.suspend(body),
    Kind.CAP: lambda chain, act, body, made: singles.cap(body),
    Kind.CAP_NOW: lambda chain, act, body, made: caps.at_once(chain, act, body),
    Kind.RULEBOOK: lambda chain, act, body, made: singles.rulebook(body),
    Kind.CHALLENGE: lambda chain, act, body, made: singles.challenge(body),
    Kind.RULE: lambda chain, act, body, made: singles.rule(body),
    Kind.CANCEL_LOSS: lambda chain, act, body, made: singles.cancel_loss(chain, body),
    Kind.CALL: lambda chain, act, body, made: singles.call(body),
}
