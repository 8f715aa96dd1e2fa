"""Integer money, and the one border between exact amounts and floats.

Amounts of a token are Python ints in its base units (USDC: 10**-6, WBTC: 10**-8). Quantities and prices are exact
decimals. Analytics are floats; they enter money only here, through a verb that names its rounding.
The default decimal context (28 digits) would silently lose base units, so all exact arithmetic runs in `EXACT`.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, Inexact, localcontext
from math import isfinite

AMOUNT_LIMIT = 2**96  # what the vault contract can hold in one slot; also the CHECK of every amount column
EXACT = Context(prec=100, traps=[])


def round_up(value: Decimal, unit: int = 1) -> int:
    """The smallest multiple of `unit` base units that is >= value."""
    with localcontext(EXACT):
        return int((value / unit).to_integral_value(ROUND_CEILING)) * unit


def round_down(value: Decimal, unit: int = 1) -> int:
    """The largest multiple of `unit` base units that is <= value."""
    with localcontext(EXACT):
        return int((value / unit).to_integral_value(ROUND_FLOOR)) * unit


def multiply_exactly(*factors: Decimal | int) -> Decimal:
    """The product of decimals without any rounding; raises `Inexact` beyond 100 digits."""
    with localcontext(EXACT) as context:
        context.traps[Inexact] = True
        product = Decimal(1)
        for factor in factors:
            product *= Decimal(factor)
        return product


def add_exactly(*terms: Decimal | int) -> Decimal:
    """The sum of decimals without any rounding; raises `Inexact` beyond 100 digits."""
    with localcontext(EXACT) as context:
        context.traps[Inexact] = True
        return sum((Decimal(term) for term in terms), Decimal(0))


def to_base_units(value: Decimal | str, decimals: int) -> int:
    """An amount stated in whole tokens, exactly; raises ValueError when it has more digits than the token."""
    with localcontext(EXACT):
        scaled = Decimal(value).scaleb(decimals)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value} has more than {decimals} decimals")
        return int(scaled)


def from_base_units(amount: int, decimals: int) -> Decimal:
    """The same amount in whole tokens, exact."""
    with localcontext(EXACT):
        return Decimal(amount).scaleb(-decimals)


def requirement_from_float(value: float, decimals: int, unit: int = 1) -> int:
    """A float requirement in whole tokens, rounded up to `unit` base units. Refuses NaN and infinity.

    A float is exactly a ratio of two ints, and ints divide exactly: the border is crossed a hundred thousand times a
    tick, which decimals are too slow for.
    """
    if not isfinite(value):
        raise ValueError(f"a requirement must be finite, not {value}")
    numerator, denominator = value.as_integer_ratio()
    units: int = -(-numerator * 10**decimals // (denominator * unit))
    return units * unit


def amount_from_float(value: float, decimals: int) -> int:
    """A float amount in whole tokens, rounded down to base units: what is held counts no more than it is."""
    return -requirement_from_float(-value, decimals)


def millions(amount: int, decimals: int = 6) -> str:
    """An amount of a token as a decimal string in millions, six places: exact for a token of 6 decimals or fewer
    when it is a whole number of tokens, otherwise rounded half even. For displays and reports only."""
    with localcontext(EXACT):
        return f"{Decimal(amount).scaleb(-decimals - 6):.6f}"


def divide_down(value: Decimal, divisor: Decimal, places: int = 18) -> Decimal:
    """The quotient rounded towards minus infinity at `places`, which is what a quantity or price column holds."""
    with localcontext(EXACT):
        return (value / divisor).quantize(Decimal(1).scaleb(-places), ROUND_FLOOR)
