"""Which relationships a market that moved in part can touch.

Between two full valuations often one underlying moves and the others stand. Then whoever holds nothing of it keeps the
figures of the last tick: they would come out the same but for the time that has passed. A partial tick is only ever
the difference to a full or partial one that is done and refused nobody, on the same day, because the scenarios are
those of the day.
"""

from dataclasses import replace

from intermediary.models import Instrument
from risk.figures import load_snapshot
from risk.market.snapshot import MarketSnapshot
from risk.models import Tick


def moved_since(last: Tick | None, snapshot: MarketSnapshot) -> list[str] | None:
    """The underlyings that differ from the last tick's, or of which something has expired since, or None when everybody
    has to be renewed."""
    if last is None or last.done_at is None or last.shards.exclude(refused={}).exists():
        return None
    before = load_snapshot(last.snapshot_id)
    if before.as_of.date() != snapshot.as_of.date() or before.underlyings.keys() != snapshot.underlyings.keys():
        return None
    if (before.rates, before.usdc_peg) != (snapshot.rates, snapshot.usdc_peg):
        return None
    expired = Instrument.objects.filter(expiry__gt=before.as_of, expiry__lte=snapshot.as_of)
    ended = set(expired.values_list("underlying", flat=True))
    return [coin for coin in snapshot.coins if coin in ended or _differs(before, snapshot, coin)]


def _differs(before: MarketSnapshot, now: MarketSnapshot, coin: str) -> bool:
    """Whether anything but the time of the quote is another."""
    quote = now.underlyings[coin]
    return replace(before.underlyings[coin], observed_at=quote.observed_at) != quote
