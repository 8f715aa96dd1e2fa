"""Marks that nobody may rely on: for new risk in what they price, or on margin that is worth what they say.

One rule for the gate, which has the market at hand, and for withdrawals, which read what they need of it. A mark is
unsure when nobody confirms or has renewed it, when it may be off by more than the ruleset allows, or when it is older
than the market's own limit. Requirements and deposits use it all the same. Loads no numeric library.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from risk.margin.ruleset import ruleset
from risk.market.quality import MarkQuality, MarkState
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot
from risk.models import Snapshot

UNCONFIRMED = (MarkState.STALE, MarkState.SINGLE_SOURCE)


def is_doubted(quality: MarkQuality, limit_bps: int) -> bool:
    """A mark that nobody renewed is the last one, whatever its state was while there were votes."""
    return quality.state in UNCONFIRMED or not quality.used or quality.uncertainty_bps > limit_bps


def unsure_coins(market: MarketSnapshot, limit_bps: int, now: datetime) -> frozenset[str]:
    """The coins of a market whose mark is unsure at `now`; `limit_bps` is the ruleset's `doubt_limit_bps`."""
    return doubted_coins(market.qualities, limit_bps) | frozenset(market.stale_fields(now))


def doubted_coins(qualities: Mapping[str, MarkQuality], limit_bps: int) -> frozenset[str]:
    """Those of them that are in doubt, whatever their age."""
    return frozenset(coin for coin, quality in qualities.items() if is_doubted(quality, limit_bps))


def unsure_marks(snapshot_id: str, ruleset_name: str, now: datetime) -> frozenset[str]:
    """`unsure_coins` of a stored market under a named ruleset; none of one that was not stored."""
    body = Snapshot.objects.filter(id=snapshot_id).values_list("body", flat=True).first()
    if not body:
        return frozenset()
    market = json.loads(body)
    qualities = {coin: MarkQuality.from_body(item) for coin, item in market.get("qualities", {}).items()}
    oldest = now - timedelta(seconds=market["age_limits_s"].get("mark", DEFAULT_AGE_LIMITS_S["mark"]))
    stale = {
        coin for coin, item in market["underlyings"].items() if datetime.fromisoformat(item["observed_at"]) < oldest
    }
    return doubted_coins(qualities, ruleset(ruleset_name).doubt_limit_bps if qualities else 0) | stale
