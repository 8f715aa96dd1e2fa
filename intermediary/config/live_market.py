"""The row that says how the live market is doing, and what people are told of it.

Whoever drives the market (`real_time`) writes it at every look; pages read it. Nothing is decided by it: what is
official, done or open stands in the markets and ticks themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import F
from django.db.models.functions import Now

from intermediary import clock, queries
from intermediary.config.models import LiveMarket
from intermediary.errors import Refusal
from risk.market.parameters import load_parameters
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S
from risk.models import Tick, TickShard

WORDS = {
    "market.too_few_sources": "Too few exchanges answer to tell a price from an error.",
    "no_mark": "There is no price of what everything is counted in.",
    "market.clock_backwards": "The platform's clock stands before the last official market.",
}


def seen(overtaken: int) -> None:
    """The exchanges were asked and gave a market, or nothing newer than the last one."""
    fresh = {"looked_at": Now(), "seen_at": Now(), "refused_since": None, "refusals": 0, "overtaken": overtaken}
    LiveMarket.objects.update_or_create(only_row=True, defaults=fresh)


def refused(refusal: Refusal) -> None:
    """The exchanges were asked and there is no market, by this name."""
    silent = refusal.data.get("silent") or refusal.data.get("left_out") or {}
    said = {"refused_at": Now(), "refusal": refusal.code[:60], "said": refusal.message[:300]}
    said["silent"] = {str(source): str(why)[:120] for source, why in silent.items()}
    row, _ = LiveMarket.objects.get_or_create(only_row=True, defaults={"looked_at": Now()})
    since = {} if row.refused_since is not None else {"refused_since": Now()}
    LiveMarket.objects.update(looked_at=Now(), refusals=F("refusals") + 1, **said, **since)


def gave_up(tick: Tick | None, as_of: object) -> None:
    """A market was waited for long enough; what of its requirements is missing."""
    missing = "it was never opened"
    if tick is not None:
        shards = TickShard.objects.filter(tick=tick, done_at=None).order_by("number").values_list("number", "of")
        missing = ", ".join(f"part {number + 1} of {of}" for number, of in shards)
    LiveMarket.objects.get_or_create(only_row=True, defaults={"looked_at": Now()})
    LiveMarket.objects.update(given_up=F("given_up") + 1, given_up_at=Now(), stuck_as_of=as_of, stuck=missing[:200])


@dataclass(frozen=True)
class Health:
    """The row, with what of it holds now."""

    row: LiveMarket
    stands_still: bool  # the last look gave no market
    is_stuck: bool  # a market was given up, and no later one has been worked through

    @property
    def why(self) -> str:
        """The last refusal in words for everybody."""
        return WORDS.get(self.row.refusal, self.row.said)

    @property
    def silent(self) -> Mapping[str, str]:
        """Who gave nothing at the last refusal, and why."""
        return dict(sorted(self.row.silent.items()))

    @property
    def calibrated_to(self) -> date:
        """The last day of what rates, and volatility and depth at a start, come from."""
        return load_parameters().calibrated_to

    @property
    def rates_are_old(self) -> bool:
        """Whether the rates are older than a market would have them."""
        return clock.now().date() - self.calibrated_to > timedelta(seconds=DEFAULT_AGE_LIMITS_S["rates"])


def health() -> Health | None:
    """How the live market is doing; None where none is driven."""
    row = LiveMarket.objects.first() if queries.platform_clock().mode == "live" else None
    if row is None:
        return None
    done = Tick.objects.filter(done_at__isnull=False)
    is_stuck = row.stuck_as_of is not None and not done.filter(valuation__as_of__gte=row.stuck_as_of).exists()
    return Health(row, stands_still=row.refused_since is not None, is_stuck=is_stuck)
