"""What the escrow contract enforces of a series: the one place where bonds' terms become settlement's."""

from bonds.models import Offering, SlicePart
from bonds.offering.terms import terms_from
from settlement.acts.series import SeriesSpec


def chain_spec(offering: Offering) -> SeriesSpec:
    """The part of the terms that stands on chain, at the size that was sold, for investors who pay until `ends_at`."""
    series = offering.series
    terms = terms_from(series.terms)
    tranches = list(series.tranches.order_by("seniority"))
    principal = {
        (part.slice_id, part.tranche_id): part.principal_base_units
        for part in SlicePart.objects.filter(slice__series=series)
    }
    return SeriesSpec(
        code=series.code,
        subscribe_by=offering.ends_at,
        final_maturity=terms.final_at,
        challenge_seconds=terms.challenge_seconds,
        expert_seconds=terms.expert_seconds,
        grace_seconds=terms.maturity_grace_seconds,
        tranches=tuple((item.name, item.symbol, item.isin) for item in tranches),
        slices=tuple(
            (item.cell_id, tuple(principal[item.id, tranche.id] for tranche in tranches))
            for item in series.slices.order_by("index")
        ),
    )
