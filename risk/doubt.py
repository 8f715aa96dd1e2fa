"""What a mark that is less than good does at commit time: it takes no new risk, and stops nobody from having less.

Doubt is what the guards of the marks found (`risk.market.marks`) and the snapshot carries. It refuses new risk on a
coin whose mark nobody confirms, that nobody has renewed, or that is less sure than the ruleset allows, and new risk
that only margin in such a coin, or in one too old, would bear. Requirements are computed on all the same: a mark in
doubt is still the best there is, and whoever performs is not called for our doubt. A trade that only makes a position
smaller is never refused for it. Recordings have one source, which judges nothing.

The same holds in a live market whose recorded history ended too long ago: its volatility is of then. And of options
where the smile of their coin was lost: at one volatility those away from the money are priced as no market prices them.
"""

from dataclasses import replace
from datetime import datetime

from intermediary import books
from intermediary.errors import Refusal
from risk.figures import scenarios_for
from risk.margin.instruments import Instrument
from risk.market.feeds.pegs import SETTLEMENT_COIN
from risk.market.recording import HISTORY_AGE_LIMIT_DAYS, LIVE, age_days
from risk.official import OfficialMarket
from risk.scenario_source import known_to
from risk.unsure import doubted_coins, unsure_coins
from risk.weighing import Asked, Weighed, coins_of, weigh


def refuse_doubtful(asked: Asked, market: OfficialMarket, limit_bps: int) -> None:
    """Refuse `mark_doubtful` with the numbers of the least sure mark that new risk would stand on.

    `limit_bps` is the ruleset's `doubt_limit_bps`. Without trades a line is asked for: then everything held is at risk.
    All of it is counted in USDC, whose own price counts as one of them.
    """
    coins = _of_new_risk(asked, market) if asked.trades else coins_of(asked, market)
    known, peg = dict(market.snapshot.qualities), market.snapshot.peg_quality
    if peg is not None and (coins or not asked.trades):
        known[SETTLEMENT_COIN] = peg
        coins = coins | {SETTLEMENT_COIN}
    doubted = sorted(coins & doubted_coins(known, limit_bps))
    if not doubted:
        return
    coin = max(doubted, key=lambda one: known[one].uncertainty_bps)
    quality = known[coin]
    raise Refusal(
        "mark_doubtful",
        f"The mark of {coin} is too unsure to take new risk on: {quality.state.value}, give or take "
        f"{quality.uncertainty_bps / 100:.2f}%.",
        underlying=coin,
        state=quality.state.value,
        uncertainty_bps=quality.uncertainty_bps,
        limit_bps=limit_bps,
        sources=[seen.source for seen in quality.used],
        left_out={seen.source: seen.left_out for seen in quality.left_out},
    )


def refuse_lost_smile(asked: Asked, market: OfficialMarket) -> None:
    """Refuse `smile_lost` new risk in options on a coin that had a surface and has none any more, with the coin.

    Without trades a line is asked for: then every option held is at risk.
    """
    universe = market.universe
    if asked.trades:
        risky = _instruments_of_new_risk(asked, market)
    else:
        risky = [universe.instruments[row] for row in market.row_of(asked.relationship.held)]
    options = {one.underlying for one in risky if one.kind == "option"}
    lost = sorted(options.intersection(market.snapshot.lost_smiles))
    if lost:
        raise Refusal(
            "smile_lost",
            f"Volatility by strike is not known now for options on {', '.join(lost)}: no new risk is taken in them.",
            underlyings=lost,
        )


def refuse_reliance(asked: Asked, found: Weighed, limit_bps: int, now: datetime, under: str | None = None) -> None:
    """Refuse `mark_doubtful` for new risk that passes by margin alone whose own mark is unsure at `now`: what passes
    without that margin rests on nothing that is in doubt, and what does not pass at all is refused by its numbers.

    `found` are the figures of `asked`. A line rests on all margin there is.
    """
    market, margin = found.market, asked.relationship.margin
    priced = {code: coin for code in margin if (coin := market.assets[code].priced_as)}
    unsure = unsure_coins(market.snapshot, limit_bps, now) if priced else frozenset()
    tokens = sorted(code for code, coin in priced.items() if coin in unsure)
    if not tokens or (asked.trades and (not _of_new_risk(asked, market) or not found.verdict().passed)):
        return
    sure = replace(asked.relationship, margin={code: held for code, held in margin.items() if code not in tokens})
    if asked.trades and weigh([replace(asked, relationship=sure)], market, under)[0].verdict().passed:
        return
    raise Refusal(
        "mark_doubtful",
        f"New risk would rest on margin in {', '.join(tokens)}, whose price is too unsure for that now.",
        tokens=tokens,
        underlyings=sorted({priced[code] for code in tokens}),
        limit_bps=limit_bps,
    )


def refuse_old_history(asked: Asked, market: OfficialMarket, ruleset_name: str) -> None:
    """Refuse `history_too_old`, with the day and the limit, new risk in a live market whose scenarios follow from a
    recording that ended too long ago, and `history_gone` where they did follow from one that is no longer used. Who
    never had any has simulated ones by choice; they follow from calibrated parameters, and say so.
    """
    if market.snapshot.source != LIVE or (asked.trades and not _of_new_risk(asked, market)):
        return
    drawn = scenarios_for(ruleset_name, market.snapshot.as_of.date())
    if drawn.recorded_to is None:
        _refuse_without_recording(drawn.why_simulated)
        return
    if not drawn.is_too_old:
        return
    raise Refusal(
        "history_too_old",
        f"The recorded prices that requirements follow from end on {drawn.recorded_to}: too long ago to take new risk.",
        recorded_to=drawn.recorded_to.isoformat(),
        age_days=age_days(drawn.recorded_to, drawn.as_of),
        limit_days=HISTORY_AGE_LIMIT_DAYS,
    )


def _refuse_without_recording(why: str) -> None:
    """What was taken away is no choice: without this, deleting an old recording would let new risk in again."""
    reached = known_to()
    if reached is None:
        return
    raise Refusal(
        "history_gone",
        f"Requirements followed from recorded prices until {reached}, and those are not used any more: no new risk is "
        "taken before they are there again.",
        recorded_to=reached.isoformat(),
        lacks=why or "the recording is missing",
    )


def _of_new_risk(asked: Asked, market: OfficialMarket) -> set[str]:
    """The underlyings of `_instruments_of_new_risk`."""
    return {one.underlying for one in _instruments_of_new_risk(asked, market)}


def _instruments_of_new_risk(asked: Asked, market: OfficialMarket) -> list[Instrument]:
    """The instruments of which the trades would leave more, or the opposite."""
    held, universe = asked.relationship.held, market.universe
    before = dict(zip(held.instruments, held.quantities, strict=True))
    after = dict(before)
    for trade in asked.trades:
        number = books.number_of(trade.instrument_id)
        after[number] = after.get(number, 0) + books.whole(trade.quantity)
    return [
        universe.instruments[universe.row_of_instrument[trade.instrument_id]]
        for trade in asked.trades
        if not _is_less(*(book.get(books.number_of(trade.instrument_id), 0) for book in (before, after)))
    ]


def _is_less(before: int, after: int) -> bool:
    """Whether a quantity came nearer to zero without passing it."""
    return abs(after) < abs(before) and before * after >= 0
