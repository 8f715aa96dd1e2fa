"""An implied-volatility surface of one underlying: fitted smiles by expiry, volatility at any strike and expiry.

Plain data without arrays, because a snapshot carries it and web and feed read snapshots. Where it comes from is `chain`
and `svi_fit`; that it holds no arbitrage is `arbitrage`, which every fitted surface has passed.

Between expiries total variance is linear in time at equal log-moneyness ln(K/F). Before the first and beyond the last
expiry, and as time passes, the volatility at a given log-moneyness stays what it is: total variance shrinks and grows
in proportion to the time left. Shrinking keeps a surface free of arbitrage: total variances keep their order, and the
density g of a smile c x w is concave in c and at least 0 at c = 0 and c = 1. The wings are those of SVI.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log
from typing import Any

from intermediary.canonical import hash_of
from intermediary.errors import BadInput, Refusal
from risk.market.svi import Svi

MODEL = "svi-raw/1"
AGE_LIMIT_S = 86_400  # smiles are refitted each day at least; an older one prices another market
SECONDS_A_YEAR = 365.0 * 86_400.0  # ACT/365 fixed, as options are revalued
PARAMETERS = ("a", "b", "rho", "m", "sigma")


@dataclass(frozen=True)
class Smile:
    """The smile of one `expiry` (UTC) as fitted at the surface's time; `forward` USD for delivery then."""

    expiry: datetime
    forward: float
    svi: Svi


@dataclass(frozen=True)
class VolSurface:
    """Smiles of one underlying in ascending expiry, fitted to quotes of `as_of` (UTC)."""

    underlying: str
    as_of: datetime
    smiles: tuple[Smile, ...]

    def __post_init__(self) -> None:
        moments = (self.as_of, *(smile.expiry for smile in self.smiles))
        if any(moment.utcoffset() != UTC.utcoffset(None) for moment in moments):
            raise BadInput("market.time_not_utc", "market times are UTC and say so")
        if len(moments) < 2 or any(later <= earlier for earlier, later in pairwise(moments)):
            raise BadInput(
                "surface.order", f"{self.underlying}: a surface has smiles, in ascending expiry after its time"
            )

    @property
    def id(self) -> str:
        """SHA-256 of the content, 64 hex digits."""
        return hash_of(self.body())

    def age_s(self, now: datetime) -> float:
        """Seconds since the quotes; refuses a surface of the future, because it would know what nobody knew."""
        age = (now - self.as_of).total_seconds()
        if age < 0:
            raise Refusal(
                "surface.from_the_future",
                f"the surface of {self.underlying} is dated after {now.isoformat()}",
                underlying=self.underlying,
                ahead_s=-age,
            )
        return age

    def vol(self, strike: float, forward: float, expiry: datetime, now: datetime) -> float:
        """Annual volatility of an option on `underlying` at `now`, where the forward for its expiry is `forward` USD.

        Refuses when every smile has expired, and an expiry that is not after `now`.
        """
        return self.vol_at(log(strike / forward), expiry, now)

    def vol_at(self, k: float, expiry: datetime, now: datetime) -> float:
        """The same at log-moneyness `k`."""
        seconds = (expiry - now).total_seconds()
        if seconds <= 0:
            raise Refusal("surface.expired", f"{expiry.isoformat()} is not after {now.isoformat()}")
        years = seconds / SECONDS_A_YEAR
        return float((self.total_variance(k, years, now) / years) ** 0.5)

    def total_variance(self, k: float, years: float, now: datetime) -> float:
        """Volatility squared times `years` > 0 (ACT/365 from `now`) at log-moneyness `k`."""
        nodes = self.live(now)
        times = [time for time, _, _ in nodes]
        right = bisect_left(times, years)
        if right in (0, len(nodes)):
            time, smile, share = nodes[min(right, len(nodes) - 1)]
            return smile.svi.total_variance(k) * share * years / time
        early, before, early_share = nodes[right - 1]
        late, after, late_share = nodes[right]
        weight = (years - early) / (late - early)
        return (1.0 - weight) * early_share * before.svi.total_variance(k) + weight * late_share * (
            after.svi.total_variance(k)
        )

    def live(self, now: datetime) -> list[tuple[float, Smile, float]]:
        """Smiles that have not expired at `now`: years left, smile, share of its total variance that is left."""
        age = self.age_s(now)
        nodes = []
        for smile in self.smiles:
            whole = (smile.expiry - self.as_of).total_seconds()
            if whole > age:
                nodes.append(((whole - age) / SECONDS_A_YEAR, smile, (whole - age) / whole))
        if not nodes:
            raise Refusal(
                "surface.expired",
                f"every smile of {self.underlying} has expired by {now.isoformat()}",
                underlying=self.underlying,
                last_expiry=self.smiles[-1].expiry.isoformat(),
            )
        return nodes

    def body(self) -> dict[str, Any]:
        """JSON-ready, numbers as the shortest text that gives the same number again."""
        return {
            "model": MODEL,
            "underlying": self.underlying,
            "as_of": self.as_of.isoformat(),
            "smiles": [
                {"expiry": smile.expiry.isoformat(), "forward": repr(float(smile.forward))}
                | {name: repr(float(getattr(smile.svi, name))) for name in PARAMETERS}
                for smile in self.smiles
            ],
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> VolSurface:
        """The surface of a body; raises KeyError or ValueError when malformed, BadInput when it is no surface."""
        if body["model"] != MODEL:
            raise BadInput(
                "surface.model", f"a surface of model {body['model']}, known is {MODEL}", model=body["model"]
            )
        return cls(
            underlying=body["underlying"],
            as_of=datetime.fromisoformat(body["as_of"]),
            smiles=tuple(
                Smile(
                    expiry=datetime.fromisoformat(item["expiry"]),
                    forward=float(item["forward"]),
                    svi=Svi(*(float(item[name]) for name in PARAMETERS)),
                )
                for item in body["smiles"]
            ),
        )
