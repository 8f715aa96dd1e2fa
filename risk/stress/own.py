"""A stress scenario that an officer makes up: what was entered, checked and named. Pure standard library.

Entered as a person writes it, in percent; refused by name when it is no number or lies where no price can be.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation

from intermediary.errors import BadInput
from risk.margin.stress import StressScenario

PERCENT = Decimal(100)
# field -> (refusal, least, most, what it is); percent, but for the peg in dollars. A price cannot fall below nothing;
# upper ends are ten times what any market of ours has shown, beyond which a slip of the pen is likelier.
LIMITS: Mapping[str, tuple[str, int, int, str]] = {
    "move": ("stress_move", -100, 1_000, "A move of a price, percent"),
    "vol": ("stress_volatility", -90, 500, "A change of implied volatility, percent of itself"),
    "premium": ("stress_premium", -50, 50, "The premium of perpetuals over spot, percent"),
    "basis": ("stress_basis", -200, 200, "A change of the forward basis, percentage points a year"),
    "peg": ("stress_peg", 0, 1, "A price of the settlement coin, dollars"),
    "depth": ("stress_depth", 1, 100, "Depth left for the close-out, percent of the ordinary"),
}
ORDINARY = {"move": "0", "vol": "0", "premium": "0", "basis": "0", "peg": "1", "depth": "100"}


def own_scenario(entered: Mapping[str, str], moves: Mapping[str, str], coins: Collection[str]) -> StressScenario:
    """The scenario of `entered` (by the names of `LIMITS`; absent or blank: ordinary) and the `moves` of single coins,
    which go before the common `move`.

    Refuses what is no number (`stress_number`), what is out of its range (the names in `LIMITS`), a peg of nothing, a
    coin without a market (`stress_coin`), and a scenario in which nothing moves (`stress_empty`).
    """
    found = {name: _number(name, entered.get(name) or ORDINARY[name]) for name in LIMITS}
    if found["peg"] == 0:
        raise BadInput("stress_peg", "A settlement coin worth nothing settles nothing.", entered="0")
    unknown = sorted(set(moves) - set(coins))
    if unknown:
        raise BadInput("stress_coin", "There is no market of this coin.", coins=unknown)
    returns = {coin: _number("move", moves.get(coin) or str(found["move"])) / PERCENT for coin in sorted(coins)}
    if not any(returns.values()) and all(found[name] == Decimal(ORDINARY[name]) for name in LIMITS if name != "move"):
        raise BadInput("stress_empty", "Nothing moves in this scenario.")
    return StressScenario(
        name="own",
        title="Entered by an officer",
        source="entered by an officer",
        returns=returns,
        vol_multiplier=1 + found["vol"] / PERCENT,
        premium=found["premium"] / PERCENT,
        basis_annual=found["basis"] / PERCENT,
        peg=found["peg"],
        depth_factor=found["depth"] / PERCENT,
    )


def _number(name: str, text: str) -> Decimal:
    code, least, most, meaning = LIMITS[name]
    try:
        value = Decimal(text.strip().replace("−", "-").replace("%", "").replace(",", ""))
    except InvalidOperation:
        raise BadInput("stress_number", f"{meaning}, is a number.", entered=text[:40]) from None
    if not value.is_finite():
        raise BadInput("stress_number", f"{meaning}, is a number.", entered=text[:40])
    if not least <= value <= most:
        raise BadInput(code, f"{meaning}, lies from {least} to {most}.", entered=text[:40], least=least, most=most)
    return value
