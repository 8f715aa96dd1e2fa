"""What a position is in: the terms of one instrument, as far as risk needs them. Data only.

One unit is one coin for spot, perpetuals, futures and options; one USD of face for inverse contracts (settled in the
coin); one USDC for cash. Collateral is held through the same instruments, so wrong-way collateral shows.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from intermediary.errors import BadInput

Kind = Literal["spot", "perp", "future", "option", "cash"]
KINDS: tuple[Kind, ...] = ("spot", "perp", "future", "option", "cash")


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Terms of one instrument. `expiry` (UTC) for futures and options; `strike` in USD and `is_call` for European
    options on the forward; `inverse` for futures and perpetuals of one USD face settled in the coin."""

    id: str
    kind: Kind
    underlying: str
    expiry: datetime | None = None
    strike: Decimal | None = None
    is_call: bool = True
    inverse: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput("instrument.unknown_kind", f"{self.id}: unknown kind {self.kind}", kind=self.kind)
        if (self.expiry is None) == (self.kind in ("future", "option")):
            raise BadInput("instrument.expiry", f"{self.id}: futures and options, and only they, have an expiry")
        if (self.strike is None) == (self.kind == "option"):
            raise BadInput("instrument.strike", f"{self.id}: options, and only they, have a strike")
        if self.strike is not None and self.strike <= 0:
            raise BadInput("instrument.strike", f"{self.id}: a strike is positive")
        if self.inverse and self.kind not in ("perp", "future"):
            raise BadInput("instrument.inverse", f"{self.id}: only perpetuals and futures are inverse")
