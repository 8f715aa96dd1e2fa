"""One mark from several sources: a robust median, how sure it is, and who was left out for which reason.

What the guards may do is narrow: they leave out a price that cannot be a price, is too old, or stands alone against
the rest at the same moment. They never bend a price, and compare with an earlier mark only where a single source jumps
or most of them show a factor that no market moves by between two looks (`levels`: believed once it has stood). A fall
that the deep venues show goes through at once, by nine tenths too. Leaving a source out makes the mark less sure, not
surer. Pure: the time is an argument. Standard library only, so that a feed may use it.

**The mark** is the weighted median of USD prices with weights w = sqrt(V k) 2^(-age/half-life), V the coins traded in
24 hours, k the share that counts for the kind of market. The weighted median minimises sum w |p - m|: it is the
likeliest price when errors are Laplace with scale 1/w, and by the square-root law of impact the price error of a venue
falls with the root of its turnover. CME CF reference rates weight their medians by volume itself; the root keeps one
large venue from outvoting several independent ones. Indices of spot give derivatives no vote. Here a quarter of their
turnover counts, and where spot is a market of its own they have at most a fifth of the votes together: a perpetual
under liquidation trades much volume at prices nobody can deliver at (for minutes of 10 October 2025, a third of spot).

A volume is one figure of one source, and a wrong unit makes it any number. So no spot venue has half of spot's votes
where two others, fresh and each a market of its own, speak too: then it cannot take the median out of their range.
Where fewer can contradict it the deepest is followed, and the uncertainty, in which nobody counts for more than all
others together, says that they do not agree.

**The uncertainty** is sqrt(d^2 + a^2 + c^2 + f^2) sqrt(expected/used), in basis points of the mark: d = sqrt(pi/2) x
the mean of |ln(p/m)| over all sources that are young enough, outliers too (a standard deviation, were prices normal):
by turnover, how far from the mark a dollar drawn at random trades, or by votes, the largest cut to the sum of all
others, whichever is more; a = movement in the time since the votes; c of the stablecoins quoted in; f what remains
unknown with so few sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from math import ceil, hypot, isfinite, log, pi, sqrt
from statistics import median_high, median_low

from intermediary.errors import BadInput, Refusal
from risk.market.levels import Level
from risk.market.mark_parameters import STANDARD, MarkParameters
from risk.market.quality import MarkQuality, MarkState, SourceSeen

BPS = 10_000
DIGITS = Context(prec=10)  # of a price in dollars: more than any exchange quotes, and none of a float's dust
SMALLEST, LARGEST = Decimal("1e-12"), Decimal("1e12")  # no coin costs that little or that much
SPOT, PERPETUAL = "spot", "perpetual"


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What one source says. `price` in `currency` (a mid of the book or a last trade) at UTC `at`; `volume` in coins of
    24 hours, not money, so that a price that is wrong buys no votes; `bid` and `ask` where known."""

    source: str
    price: Decimal
    at: datetime
    volume: float
    currency: str = "USD"
    kind: str = SPOT
    bid: Decimal | None = None
    ask: Decimal | None = None


@dataclass(frozen=True)
class Mark:
    """USD price of one coin; `observed_at` is the time of the youngest quote that voted."""

    price: Decimal
    observed_at: datetime
    quality: MarkQuality


class AbsurdMove(Refusal):
    """`no_mark`: most sources show `price`, a factor away from the last mark that no market moves by between two looks;
    `apart_bps` is how far, in logs."""

    def __init__(self, why: Refusal, price: Decimal, apart_bps: float) -> None:
        super().__init__(why.code, why.message, **why.data)
        self.price = price
        self.apart_bps = apart_bps


@dataclass
class _Vote:
    """A quote that is young enough and means something, in USD. `volume` and `weight` (its votes) count the kind and
    the age; `decay` is what age leaves of them."""

    quote: Quote
    price: Decimal
    age_s: float
    weight: float
    volume: float
    decay: float
    peg_bps: float


def mark_of(
    coin: str,
    quotes: Sequence[Quote],
    now: datetime,
    *,
    silent: Mapping[str, str] | None = None,
    pegs: Mapping[str, Mark] | None = None,
    last: Decimal | None = None,
    level: Level | None = None,
    parameters: MarkParameters = STANDARD,
) -> Mark:
    """The mark of `coin` at `now` (UTC) in USD.

    `silent` are the sources that should have spoken, with why they did not; `pegs` marks of the stablecoins that quotes
    are in; `last` the mark before, against which a jump is held; `level` what the looks since have shown instead of it.
    Refuses `no_mark` with the reason for each source when none is left, when two contradict each other by a factor, or
    when a single one jumps; as `AbsurdMove`, when most are a factor away from `last` and `level` has not stood for
    long enough. The same arguments in any order of quotes give the same mark.
    """
    if len({quote.source for quote in quotes}) != len(quotes):
        raise BadInput("market.source_twice", f"a source of {coin} speaks twice", underlying=coin)
    silent = silent or {}
    judged = {quote.source: _judge(quote, now, pegs or {}, parameters) for quote in quotes}
    votes = sorted(
        (vote for vote in judged.values() if isinstance(vote, _Vote)), key=lambda vote: (vote.price, vote.quote.source)
    )
    left_out = {source: reason for source, reason in judged.items() if isinstance(reason, str)}
    _cap_perpetuals(votes, parameters)
    votes = _without_absurd(votes, left_out, parameters)
    _cap_single(votes, parameters)
    _cap_perpetuals(votes, parameters)  # of the votes that spot has now
    if not votes:
        raise _no_mark(coin, "no source gives a price that can be used", quotes, left_out | dict(silent))
    used = _without_outliers(votes, left_out, parameters)
    # Of all of them: an outlier confirms nothing, but without its vote another one might have more than half again.
    price = weighted_median([vote.price for vote in votes], [vote.weight for vote in votes])
    if len(votes) == 1 and last is not None and abs(log(float(price / last))) > parameters.unconfirmed_move_max:
        left_out[votes[0].quote.source] = "unconfirmed move"
        raise _no_mark(coin, f"a single source says {price} after {last}, and nothing confirms it", quotes, left_out)
    believed = level is not None and level.stands(price, now, parameters)
    if last is not None and is_absurd(price, last, parameters) and not believed:
        raise _absurd_move(coin, price, last, quotes, judged, left_out | dict(silent), parameters)
    spread_bps = _spread_bps(price, votes)
    quality = MarkQuality(
        state=_state(used, spread_bps, parameters),
        uncertainty_bps=_uncertainty_bps(spread_bps, used, len(quotes) + len(silent), parameters),
        parameters=parameters.version,
        sources=_seen(quotes, judged, used, left_out | dict(silent), now),
    )
    return Mark(price, max(vote.quote.at for vote in used), quality)


def is_absurd(price: Decimal, beside: Decimal, parameters: MarkParameters = STANDARD) -> bool:
    """Whether a price is further from another than any market moves between two looks: a unit or a digit is wrong."""
    return abs(log(float(price / beside))) > log(parameters.absurd_factor)


def aged(
    mark: Mark,
    now: datetime,
    left_out: Mapping[str, str],
    parameters: MarkParameters = STANDARD,
    apart_bps: float = 0.0,
) -> MarkQuality:
    """The quality at `now` of a mark that could not be renewed, for the reasons in `left_out`: it ages openly.
    `apart_bps`: how far off it is what most sources show and nobody believes yet."""
    minutes = max((now - mark.observed_at).total_seconds(), 0.0) / 60.0
    moved_bps = parameters.movement_bps_per_sqrt_minute * sqrt(minutes)
    before = mark.quality
    kept = before.state in (MarkState.SINGLE_SOURCE, MarkState.DIVIDED) and not apart_bps
    return MarkQuality(
        state=before.state if kept else MarkState.STALE,
        uncertainty_bps=ceil(hypot(before.uncertainty_bps, moved_bps, apart_bps)),
        parameters=parameters.version,
        sources=tuple(SourceSeen(source, None, None, 0, reason) for source, reason in sorted(left_out.items())),
    )


def weighted_median(values: Sequence[Decimal], weights: Sequence[float]) -> Decimal:
    """The value at half of the total weight of ascending `values`; the middle of two when the half falls between them.

    `weights` are positive. A share of the weight below one half, wherever it lies, cannot move the result beyond the
    range of the others.
    """
    half = sum(weights) / 2.0
    reached = 0.0
    for index, weight in enumerate(weights):
        reached += weight
        if abs(reached - half) <= 1e-12 * half and index + 1 < len(values):
            return _rounded((values[index] + values[index + 1]) / 2)
        if reached > half:
            return values[index]
    return values[-1]


def _judge(quote: Quote, now: datetime, pegs: Mapping[str, Mark], parameters: MarkParameters) -> _Vote | str:
    """The quote as a vote, or the reason why it is none."""
    age_s = (now - quote.at).total_seconds()
    peg = None if quote.currency == "USD" else pegs.get(quote.currency)
    if not quote.price.is_finite() or not SMALLEST < quote.price < LARGEST:
        return "no price"
    if _is_crossed(quote):
        return "crossed book"
    if age_s < -parameters.ahead_limit_s:
        return "time in the future"
    if age_s > parameters.quote_age_limit_s:
        return "stale"
    if not isfinite(quote.volume) or quote.volume <= 0.0:
        return "no volume"
    if quote.currency != "USD" and peg is None:
        return f"no price of {quote.currency}"
    if peg is not None and (now - peg.observed_at).total_seconds() > parameters.peg_age_limit_s:
        return f"stale price of {quote.currency}"
    rate = Decimal(1) if peg is None else peg.price
    decay = 0.5 ** (max(age_s, 0.0) / parameters.half_life_s)
    counted = quote.volume * (parameters.perpetual_share if quote.kind == PERPETUAL else 1.0)
    return _Vote(
        quote=quote,
        price=_rounded(quote.price * rate),
        age_s=max(age_s, 0.0),
        weight=sqrt(counted) * decay,
        volume=counted * decay,
        decay=decay,
        peg_bps=0.0 if peg is None else float(peg.quality.uncertainty_bps),
    )


def _turnover_usd(votes: Sequence[_Vote]) -> float:
    """What the votes count for in money of a day, all at their middle price."""
    return sum(vote.volume for vote in votes) * float(median_low([vote.price for vote in votes] or [Decimal(0)]))


def _cap_perpetuals(votes: Sequence[_Vote], parameters: MarkParameters) -> None:
    """Let perpetuals not outvote a spot market; a spot market that is none can be outvoted."""
    spot = [vote for vote in votes if vote.quote.kind == SPOT]
    perpetual = [vote for vote in votes if vote.quote.kind == PERPETUAL]
    if not perpetual or _turnover_usd(spot) < parameters.turnover_usd_min:
        return
    most = parameters.perpetual_votes_max * sum(vote.weight for vote in spot)
    scale = min(1.0, most / sum(vote.weight for vote in perpetual))
    for vote in perpetual:
        vote.weight *= scale


def _cap_single(votes: Sequence[_Vote], parameters: MarkParameters) -> None:
    """Let no spot venue outvote all others where enough of them can contradict it: fresh ones that are markets."""
    spot = sorted((vote for vote in votes if vote.quote.kind == SPOT), key=lambda vote: vote.weight)
    witnesses = [
        vote
        for vote in spot[:-1]
        if vote.age_s <= parameters.fresh_s
        and vote.volume / vote.decay * float(vote.price) >= parameters.turnover_usd_min
    ]
    if len(witnesses) >= parameters.witnesses_min:
        share = parameters.single_votes_max
        spot[-1].weight = min(spot[-1].weight, share / (1.0 - share) * sum(vote.weight for vote in spot[:-1]))


def _rounded(price: Decimal) -> Decimal:
    return price.normalize(DIGITS) + Decimal(0)


def _is_crossed(quote: Quote) -> bool:
    if quote.bid is None or quote.ask is None:
        return False
    return not (quote.bid.is_finite() and quote.ask.is_finite() and 0 < quote.bid <= quote.ask)


def _without_absurd(votes: list[_Vote], left_out: dict[str, str], parameters: MarkParameters) -> list[_Vote]:
    """Without prices that are a factor away from the middle of all: a unit or a digit is wrong somewhere.

    The middle by heads and the middle by weight must agree within the factor. Where they do not, a deep source stands
    against several thin ones or two against each other, nobody can tell who is wrong, and none is left.
    """
    if not votes:
        return []
    prices = [vote.price for vote in votes]
    middles = (median_low(prices), median_high(prices), weighted_median(prices, [vote.weight for vote in votes]))
    kept = []
    for vote in votes:
        if max(abs(log(float(vote.price / middle))) for middle in middles) > log(parameters.absurd_factor):
            left_out[vote.quote.source] = "absurd price"
        else:
            kept.append(vote)
    return kept


def _without_outliers(votes: list[_Vote], left_out: dict[str, str], parameters: MarkParameters) -> list[_Vote]:
    """Without those far from the median, if together they are a small minority: then they are errors of venues. A large
    minority stays in: the market is divided, or moving. So does everybody where no two would be left to agree."""
    middle = float(weighted_median([vote.price for vote in votes], [vote.weight for vote in votes]))
    far = [vote for vote in votes if abs(log(float(vote.price) / middle)) * BPS > parameters.outlier_bps]
    share = sum(vote.weight for vote in far) / sum(vote.weight for vote in votes)
    if not far or share > parameters.outlier_share_max or len(votes) - len(far) < 2:
        return votes
    for vote in far:
        left_out[vote.quote.source] = "outlier"
    return [vote for vote in votes if vote not in far]


def _spread_bps(price: Decimal, votes: Sequence[_Vote]) -> float:
    """How far from the mark a coin, or a vote, drawn at random is, outliers too, as a standard deviation of a normal.

    By votes the largest counts for no more than all others together, before age: nobody confirms its own price.
    """
    say = [vote.weight / vote.decay for vote in votes]
    largest = say.index(max(say))
    if len(say) > 1:
        say[largest] = min(say[largest], sum(say) - say[largest])
    by_votes = [strength * vote.decay for strength, vote in zip(say, votes, strict=True)]
    by_turnover = [vote.volume for vote in votes]
    apart = [abs(log(float(vote.price / price))) for vote in votes]
    mean = max(
        sum(share * off for share, off in zip(shares, apart, strict=True)) / sum(shares)
        for shares in (by_votes, by_turnover)
    )
    return sqrt(pi / 2.0) * mean * BPS


def _uncertainty_bps(spread_bps: float, used: Sequence[_Vote], expected: int, parameters: MarkParameters) -> int:
    """The formula of this file's head, rounded up."""
    weights = sum(vote.weight for vote in used)
    age_minutes = sum(vote.weight * vote.age_s for vote in used) / weights / 60.0
    moved_bps = parameters.movement_bps_per_sqrt_minute * sqrt(age_minutes)
    peg_bps = sum(vote.weight * vote.peg_bps for vote in used) / weights
    floor_bps = parameters.floor_bps[min(len(used), len(parameters.floor_bps)) - 1]
    return ceil(hypot(spread_bps, moved_bps, peg_bps, floor_bps) * sqrt(expected / len(used)))


def _state(used: Sequence[_Vote], spread_bps: float, parameters: MarkParameters) -> MarkState:
    if len(used) == 1:
        return MarkState.SINGLE_SOURCE
    if min(vote.age_s for vote in used) > parameters.fresh_s:
        return MarkState.STALE  # however far apart: old prices of a market that moves are, and nobody confirms any now
    if spread_bps > parameters.divided_bps:
        return MarkState.DIVIDED
    if len(used) < parameters.sources_good or _turnover_usd(used) < parameters.turnover_usd_min:
        return MarkState.THIN
    return MarkState.GOOD


def _seen(
    quotes: Sequence[Quote],
    judged: Mapping[str, _Vote | str],
    used: Sequence[_Vote],
    left_out: Mapping[str, str],
    now: datetime,
) -> tuple[SourceSeen, ...]:
    total = sum(vote.weight for vote in used)
    heard = {quote.source for quote in quotes}
    rows = [SourceSeen(source, None, None, 0, reason) for source, reason in left_out.items() if source not in heard]
    for quote in quotes:
        vote = judged[quote.source]
        reason = left_out.get(quote.source, "")
        rows.append(
            SourceSeen(
                source=quote.source,
                price_usd=vote.price if isinstance(vote, _Vote) else None,
                age_s=int((now - quote.at).total_seconds()),
                share_bps=round(vote.weight / total * BPS) if isinstance(vote, _Vote) and not reason else 0,
                left_out=reason,
            )
        )
    return tuple(sorted(rows, key=lambda row: row.source))


def _absurd_move(
    coin: str,
    price: Decimal,
    last: Decimal,
    quotes: Sequence[Quote],
    judged: Mapping[str, _Vote | str],
    left_out: Mapping[str, str],
    parameters: MarkParameters,
) -> AbsurdMove:
    """Everybody who spoke is left out: the many with what they show, and who stands by the last mark as the few."""
    said = {
        source: f"absurd move, {vote.price:f} after {last:f}"
        if is_absurd(vote.price, last, parameters)
        else "near the last mark, against most"
        for source, vote in judged.items()
        if isinstance(vote, _Vote)
    }
    why = _no_mark(coin, f"most sources say {price:f} after {last:f}", quotes, {**left_out, **said})
    return AbsurdMove(why, price, abs(log(float(price / last))) * BPS)


def _no_mark(coin: str, why: str, quotes: Sequence[Quote], left_out: Mapping[str, str]) -> Refusal:
    return Refusal(
        "no_mark",
        f"There is no mark of {coin}: {why}.",
        underlying=coin,
        sources=len(quotes),
        left_out=dict(sorted(left_out.items())),
        prices={quote.source: str(quote.price) for quote in sorted(quotes, key=lambda quote: quote.source)},
    )
