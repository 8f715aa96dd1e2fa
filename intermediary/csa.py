"""The credit support formula, pure: what must be delivered, what may be returned. Amounts are settlement base units.

    required = max(0, exposure + independent amount - threshold)
    d = required - held after haircut
    d >= MTA and d > 0                         -> deliver d, rounded up to the unit
    -d >= MTA and -d rounded down > 0          -> return -d, rounded down to the unit

Rounded once, at the end, so that after a delivery or a return the same computation gives none (M2); never both (M3).
Exposure is what the client owes since variation margin was last settled; negative: the house owes it.
"""

from dataclasses import dataclass

WARNING_PERCENTS = (150, 125, 110)  # of the requirement, from the first warning to the last before a call


@dataclass(frozen=True)
class Delivery:
    """The client delivers at least this much value after haircut."""

    amount_base_units: int


@dataclass(frozen=True)
class Return:
    """This much value after haircut is not needed."""

    amount_base_units: int


def required_for(exposure: int, independent_amount: int, threshold: int) -> int:
    """max(0, exposure + independent amount - threshold)."""
    return max(0, exposure + independent_amount - threshold)


def csa(
    exposure: int, independent_amount: int, threshold: int, held: int, mta: int, unit: int
) -> Delivery | Return | None:
    """Delivery Amount, Return Amount, or none. `held` is after haircut; `unit` is the rounding of the agreement."""
    missing = required_for(exposure, independent_amount, threshold) - held
    if missing >= mta and missing > 0:
        return Delivery(-(-missing // unit) * unit)
    if -missing >= mta and -missing // unit > 0:
        return Return(-missing // unit * unit)
    return None


def warning_level(held: int, required: int) -> int | None:
    """The tightest of 150, 125 and 110 percent of the requirement that `held` is below; 100 below the requirement."""
    if held < required:
        return 100
    reached = [percent for percent in WARNING_PERCENTS if held * 100 < required * percent]
    return reached[-1] if reached else None
