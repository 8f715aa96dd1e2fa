"""How sure a mark is, and of what it was made: what a snapshot stores beside a price that came from several sources.

Plain values that survive canonical JSON, so no floats: basis points and seconds are whole numbers, prices decimals.
This file judges nothing (`marks` does); it only keeps what was judged, so that a page can show it years later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any


class MarkState(StrEnum):
    """From best to worst. Every state but GOOD is shown wherever the mark is."""

    GOOD = "good"  # three sources or more, fresh, close together
    THIN = "thin"  # two sources, or little is traded on all of them
    STALE = "stale"  # nobody has spoken for a while, though not for too long
    DIVIDED = "divided"  # the sources disagree: the mark follows most of the depth, the uncertainty says how far apart
    SINGLE_SOURCE = "single source"  # nothing confirms it


@dataclass(frozen=True)
class SourceSeen:
    """One source's price. `share_bps` is its share of the votes in the median, 0 when it was left out for the reason
    in `left_out`; `price_usd` is empty when it gave no price that means anything, `age_s` when it gave none at all."""

    source: str
    price_usd: Decimal | None
    age_s: int | None
    share_bps: int
    left_out: str = ""


@dataclass(frozen=True)
class MarkQuality:
    """`uncertainty_bps`: about one standard deviation of the mark, of its price. `parameters` names the version of the
    rules that judged; `sources` in alphabetical order."""

    state: MarkState
    uncertainty_bps: int
    parameters: str
    sources: tuple[SourceSeen, ...]

    @property
    def used(self) -> tuple[SourceSeen, ...]:
        """The sources that voted."""
        return tuple(seen for seen in self.sources if not seen.left_out)

    @property
    def left_out(self) -> tuple[SourceSeen, ...]:
        """The sources that did not, each with its reason."""
        return tuple(seen for seen in self.sources if seen.left_out)

    def body(self) -> dict[str, Any]:
        """The JSON value; `from_body` gives an equal quality."""
        return {
            "state": self.state.value,
            "uncertainty_bps": self.uncertainty_bps,
            "parameters": self.parameters,
            "sources": [
                [
                    seen.source,
                    None if seen.price_usd is None else str(seen.price_usd),
                    seen.age_s,
                    seen.share_bps,
                    seen.left_out,
                ]
                for seen in self.sources
            ],
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> MarkQuality:
        """The quality of a JSON value; raises KeyError, TypeError or ValueError when it is not one."""
        return cls(
            state=MarkState(body["state"]),
            uncertainty_bps=int(body["uncertainty_bps"]),
            parameters=body["parameters"],
            sources=tuple(
                SourceSeen(source, None if price is None else Decimal(price), age_s, int(share_bps), left_out)
                for source, price, age_s, share_bps, left_out in body["sources"]
            ),
        )
