"""What a fall of every coin would bring: the next expected call, for every page and the same for all of them.

The engine says what positions lose at each published fall, options at the volatility that the market would answer it
with, at the present independent amount. Margin in a coin falls with the market as well, after its haircut by the same
share: it loses its value just when more is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from intermediary.collateral import counted, value_of_holdings
from intermediary.models import Asset, MarginState, Valuation
from intermediary.money import requirement_from_float
from intermediary.templatetags.display import MINUS
from intermediary.terms import Terms

DECIMALS = 6  # of the settlement token
UNIT = 10.0**DECIMALS  # what positions lose is in dollars, floats
Holdings = Mapping[str, int]


@dataclass(frozen=True)
class Forecast:
    """What a fall of every coin would ask for, at the present independent amount; base units. `margin_loss` is what
    margin in coins then counts for less."""

    move: str
    loss_base_units: int
    margin_loss_base_units: int
    required_base_units: int
    call_base_units: int


def forecasts(state: MarginState, terms: Terms | None, coins_base_units: int) -> list[Forecast]:
    """The next expected call at each published fall; none when the engine gave no forecast. `coins_base_units` is what
    of the margin held moves with the market (`coin_margin`)."""
    smallest = terms.minimum_transfer_base_units if terms else 0
    found = []
    for move, loss_usd in state.breakdown.get("forecast_loss", {}).items():
        loss = requirement_from_float(float(loss_usd), DECIMALS)
        exposure = state.exposure_base_units + loss
        required = max(0, exposure + state.independent_amount_base_units - state.threshold_base_units)
        cheaper = -(-coins_base_units * int(move.strip("-%")) // 100)
        short = max(0, required - (state.held_base_units - cheaper))
        call = short if short >= smallest else 0
        found.append(Forecast(move.replace("-", MINUS), loss, cheaper, required, call))
    return found


def fall_to_call(state: MarginState, terms: Terms | None, coins_base_units: int) -> float | None:
    """The smallest fall of every coin, in percent, at which a call would be issued, straight between the published
    falls; 0 when the margin is short already, None when the deepest published fall (or no forecast) brings none."""
    smallest = max(1, terms.minimum_transfer_base_units) if terms else 1
    uncalled = state.held_base_units + smallest + state.threshold_base_units
    room = uncalled - state.exposure_base_units - state.independent_amount_base_units
    if room <= 0:
        return 0.0
    fall, lost = 0.0, 0.0
    for move, loss_usd in state.breakdown.get("forecast_loss", {}).items():
        deeper = float(move.strip("-%"))
        more = float(loss_usd) * UNIT + coins_base_units * deeper / 100
        if more >= room:
            return fall + (deeper - fall) * (room - lost) / (more - lost)
        fall, lost = deeper, more
    return None


def coin_margin(states: Sequence[MarginState], terms: Mapping[UUID, Terms]) -> dict[UUID, int]:
    """What of each relationship's margin moves with the market: its tokens with a price, after haircut, at its own
    valuation; settlement base units. Four queries whatever their number."""
    holdings = counted([state.cell_id for state in states])
    valuations = Valuation.objects.in_bulk({state.valuation_id for state in states})
    assets = {asset.code: asset for asset in Asset.objects.all()}
    return {
        state.cell_id: moving_value(
            holdings.get(state.cell_id, {}), valuations[state.valuation_id], terms[state.cell_id], assets
        )
        for state in states
        if state.cell_id in terms
    }


def moving_value(holdings: Holdings, valuation: Valuation, terms: Terms, assets: Mapping[str, Asset]) -> int:
    """`coin_margin` of these amounts of tokens; one that this valuation does not price counts nowhere yet."""
    moving = {code: held for code, held in holdings.items() if assets[code].priced_as in valuation.prices}
    return value_of_holdings(moving, valuation, terms, assets)
