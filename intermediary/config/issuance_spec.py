"""What the escrow contract enforces of a series' terms: the one place where bonds' terms become settlement's."""

from datetime import datetime

from bonds.offering.terms import SeriesTerms
from settlement.acts.series import SeriesSpec


def chain_spec(terms: SeriesTerms, subscribe_by: datetime) -> SeriesSpec:
    """The part of the terms that stands on chain, for investors who pay until `subscribe_by`."""
    return SeriesSpec(
        code=terms.code,
        subscribe_by=subscribe_by,
        final_maturity=terms.final_at,
        challenge_seconds=terms.challenge_seconds,
        expert_seconds=terms.expert_seconds,
        grace_seconds=terms.maturity_grace_seconds,
        tranches=tuple((item.name, item.symbol, item.isin) for item in terms.classes),
        slices=tuple((item.cell_id, item.principals_base_units) for item in terms.slices),
    )
