"""The market as it is now: several exchanges are asked at once, and their quotes become guarded marks.

One exchange that is slow, down or wrong costs certainty and nothing else: it is waited for no longer than the deadline,
left alone for a while (twice as long after each failure), and named in the quality of every mark. Fewer than two
exchanges are no market: then there is no snapshot but a refusal. A coin that no guard lets through keeps its last mark,
which ages openly. Snapshots are made when they are asked for; those of the last hours are kept.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf, isfinite
from types import MappingProxyType
from typing import Any

from intermediary.errors import Refusal
from risk.market.exchanges import TROUBLE, VENUES, Venue, client_of, reason_of
from risk.market.feeds.base import NO_DEPTHS, NO_SURFACES, NO_TURNOVERS, Bar, CoinBar, SnapshotMaker, Turnover
from risk.market.feeds.books import Books
from risk.market.feeds.pegs import SETTLEMENT_COIN, TETHER, is_young, settlement_peg
from risk.market.feeds.smiles import Smiles
from risk.market.feeds.turnovers import Turnovers
from risk.market.levels import Level, level_after
from risk.market.mark_parameters import STANDARD, MarkParameters
from risk.market.marks import AbsurdMove, Mark, Quote, aged, mark_of
from risk.market.parameters import COINS
from risk.market.quality import MarkQuality, MarkState
from risk.market.recording import LIVE
from risk.market.snapshot import DEFAULT_AGE_LIMITS_S, MarketSnapshot

logger = logging.getLogger(__name__)

# A live mark is renewed at every look; after a quarter of an hour an exchange left alone was asked again three times.
# Smiles are fitted every ten minutes: one of an hour ago has been missed five times, and is left out.
AGE_LIMITS_S: Mapping[str, int] = MappingProxyType(dict(DEFAULT_AGE_LIMITS_S) | {"mark": 900, "surface": 3_600})
STABLECOINS = (SETTLEMENT_COIN, TETHER)


@dataclass(frozen=True, kw_only=True)
class LiveLimits:
    """How long, how often and how few."""

    timeout_s: float = 5.0  # one request: an exchange answers within one second, under load within a few
    deadline_s: float = 15.0  # all of them: ten coins one by one within the rate limit take a few seconds
    step_s: float = 5.0  # no more often than this, however often a snapshot is asked for: rate limits are a courtesy
    backoff_s: float = 5.0  # after the first failure; doubled after each further one
    backoff_max_s: float = 300.0  # a repaired exchange is back within five minutes
    exchanges_min: int = 2  # one alone cannot be told from an error
    keep_rate_limits: bool = True  # each exchange's own, between requests; only a mirror may be asked without
    snapshots_kept: int = 2_000  # about 20 MB; who wants older ones stores them


class LiveFeed:
    """A feed (`base.Feed`) of the present. `now` is the platform's clock, UTC; `mirror` a base URL asked instead of the
    exchanges; `smiles` gives surfaces, `books` depth, `turnovers` its like of a day. Not for several threads; `close`
    lets its own go."""

    source = LIVE

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        venues: Sequence[Venue] = VENUES,
        limits: LiveLimits = LiveLimits(),
        parameters: MarkParameters = STANDARD,
        mirror: str = "",
        smiles: Smiles | None = None,
        books: Books | None = None,
        turnovers: Turnovers | None = None,
    ) -> None:
        self._now = now
        self._limits = limits
        self._parameters = parameters
        self._lines = [
            _Line(
                venue,
                client_of(
                    venue.name,
                    timeout_s=limits.timeout_s,
                    mirror=mirror,
                    keep_rate_limit=limits.keep_rate_limits,
                ),
            )
            for venue in venues
        ]
        self._pool = ThreadPoolExecutor(max_workers=len(venues), thread_name_prefix="exchange")
        self._maker = SnapshotMaker(self.source, AGE_LIMITS_S)
        self._smiles = smiles
        self._books = books
        self._turnovers = turnovers
        self._smiled: set[str] = set()  # coins that had a surface: one without is not as it should be
        self._marks: dict[str, Mark] = {}
        self._levels: dict[str, Level] = {}  # of coins whose sources show what is not believed yet
        self._snapshots: list[MarketSnapshot] = []

    @property
    def first(self) -> datetime:
        """Time of the earliest snapshot kept; asks the exchanges when there is none yet."""
        return self._known()[0].as_of

    @property
    def last(self) -> datetime:
        """Time of the latest snapshot so far; asks the exchanges when there is none yet."""
        return self._known()[-1].as_of

    def bars(self, start: datetime, end: datetime) -> Iterator[MarketSnapshot]:
        """Every snapshot kept with start <= as_of <= end, ascending; asks nobody."""
        times = [snapshot.as_of for snapshot in self._snapshots]
        yield from self._snapshots[bisect_left(times, start) : bisect_right(times, end)]

    def next_after(self, moment: datetime) -> MarketSnapshot | None:
        """The first snapshot later than `moment`: one that was made already, else the market now; None while now is
        not later, or less than a step after the last. Refuses `market.too_few_sources` and, of USDC, `no_mark`."""
        index = bisect_right([snapshot.as_of for snapshot in self._snapshots], moment)
        if index < len(self._snapshots):
            return self._snapshots[index]
        earliest = moment
        if self._snapshots:
            earliest = max(moment, self._snapshots[-1].as_of + timedelta(seconds=self._limits.step_s))
        if self._now() <= earliest:
            return None
        return self._look()

    def resume(self, snapshot: MarketSnapshot) -> None:
        """Go on from this market, the last of a process before: its marks are those that a first look is held against,
        and age from their own times, as do its surfaces."""
        unknown = MarkQuality(MarkState.STALE, 0, self._parameters.version, ())
        coins = {}
        for coin, item in snapshot.underlyings.items():
            self._marks[coin] = Mark(item.mark, item.observed_at, snapshot.qualities.get(coin, unknown))
            coins[coin] = CoinBar(item.mark, float(item.mark), float(item.mark), item.observed_at)
        if snapshot.peg_quality is not None and snapshot.peg_observed_at is not None:
            self._marks[SETTLEMENT_COIN] = Mark(snapshot.usdc_peg, snapshot.peg_observed_at, snapshot.peg_quality)
        self._maker.advance(Bar(as_of=snapshot.as_of, coins=coins))
        surfaces = {coin: one.surface for coin, one in snapshot.underlyings.items() if one.surface is not None}
        self._smiled = {*surfaces, *snapshot.lost_smiles}
        if self._smiles is not None:
            self._smiles.resume(surfaces)
        if self._turnovers is not None:
            dated = {coin: (one.adv_usd, one.turnover_to) for coin, one in snapshot.underlyings.items()}
            self._turnovers.resume({coin: Turnover(usd, to) for coin, (usd, to) in dated.items() if to is not None})

    def close(self) -> None:
        """Let the threads go; what they are waiting for times out by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for beside in (self._smiles, self._books, self._turnovers):
            if beside is not None:
                beside.close()

    def _known(self) -> list[MarketSnapshot]:
        if not self._snapshots:
            self._look()
        return self._snapshots

    def _look(self) -> MarketSnapshot:
        """Ask everybody, mark every coin, keep the snapshot."""
        silent = self._ask()
        if len(self._lines) - len(silent) < self._limits.exchanges_min:
            raise Refusal(
                "market.too_few_sources",
                f"{len(self._lines) - len(silent)} of {len(self._lines)} exchanges answer.",
                needed=self._limits.exchanges_min,
                silent=silent,
            )
        now = self._now()
        pegs = self._pegs(now)
        bar = self._bar(now, pegs)
        self._maker.advance(bar)
        if not self._maker.coins_seen:
            raise Refusal("no_mark", "No coin has a mark.", silent=silent)
        marks = {coin: one.close for coin, one in bar.coins.items()}
        snapshot = self._maker.snapshot(
            bar,
            self._smiles.surfaces() if self._smiles is not None else NO_SURFACES,
            self._books.depths(marks) if self._books is not None else NO_DEPTHS,
            self._smiled,
            self._turnovers.levels(now) if self._turnovers is not None else NO_TURNOVERS,
        )
        self._smiled |= {coin for coin, one in snapshot.underlyings.items() if one.surface is not None}
        self._snapshots.append(snapshot)
        del self._snapshots[: -self._limits.snapshots_kept]
        return snapshot

    def _ask(self) -> dict[str, str]:
        """Ask every exchange that is not being left alone; returns those that gave nothing, with the reason."""
        for line in self._lines:
            if line.pending is None and time.monotonic() >= line.retry_at:
                line.pending = self._pool.submit(_hear, line.client, line.venue)
        wait([line.pending for line in self._lines if line.pending is not None], timeout=self._limits.deadline_s)
        for line in self._lines:
            line.collect(self._limits)
            if line.silent:
                logger.warning("exchange %s: %s", line.venue.name, line.silent)
        return {line.venue.name: line.silent for line in self._lines if line.silent}

    def _bar(self, now: datetime, pegs: Mapping[str, Mark]) -> Bar:
        coins: dict[str, CoinBar] = {}
        qualities: dict[str, MarkQuality] = {}
        for coin in COINS:
            last = self._marks.get(coin)
            try:
                mark = self._mark(coin, now, pegs)
            except Refusal as refusal:
                logger.warning("%s: %s", refusal.code, refusal.message)
                if last is not None:
                    qualities[coin] = self._kept(coin, last, refusal, now)
                continue
            self._levels.pop(coin, None)
            ends = (float(mark.price), float(last.price if last else mark.price))
            coins[coin] = CoinBar(mark.price, max(ends), min(ends), mark.observed_at)
            qualities[coin] = mark.quality
            self._marks[coin] = mark
        peg = pegs[SETTLEMENT_COIN]
        return Bar(
            as_of=now,
            coins=coins,
            qualities=qualities,
            usdc_peg=peg.price,
            peg_quality=peg.quality,
            peg_observed_at=peg.observed_at,
        )

    def _kept(self, coin: str, last: Mark, refusal: Refusal, now: datetime) -> MarkQuality:
        """How sure the last mark of a coin still is; a level that it is not believed to have moved to is noted."""
        left_out = refusal.data.get("left_out", {})
        if not isinstance(refusal, AbsurdMove):
            return aged(last, now, left_out, self._parameters)
        self._levels[coin] = level_after(self._levels.get(coin), refusal.price, now, self._parameters)
        return aged(last, now, left_out, self._parameters, refusal.apart_bps)

    def _mark(self, coin: str, now: datetime, pegs: Mapping[str, Mark]) -> Mark:
        """The mark of one coin from what was heard; an exchange that is silent counts as missing if it lists the coin,
        or if nobody knows."""
        moment = time.monotonic()
        heard = [quote for line in self._lines if not line.silent for quote in line.quotes(coin, now, moment)]
        missing = {line.venue.name: line.silent for line in self._lines if line.silent and line.may_list(coin)}
        last = self._marks.get(coin)
        return mark_of(
            coin,
            heard,
            now,
            silent=missing,
            pegs=pegs,
            last=None if last is None else last.price,
            level=self._levels.get(coin),
            parameters=self._parameters,
        )

    def _pegs(self, now: datetime) -> dict[str, Mark]:
        """USD prices of the stablecoins. Tether comes first: an exchange may quote the other in it."""
        tether = self._tether(now)
        others = {TETHER: tether} if tether is not None else {}
        peg, self._marks[SETTLEMENT_COIN] = settlement_peg(
            lambda: self._mark(SETTLEMENT_COIN, now, others), self._marks.get(SETTLEMENT_COIN), now, self._parameters
        )
        return others | {SETTLEMENT_COIN: peg}

    def _tether(self, now: datetime) -> Mark | None:
        """Its mark now, or the last one while that is young enough."""
        try:
            self._marks[TETHER] = self._mark(TETHER, now, {})
        except Refusal:
            last = self._marks.get(TETHER)
            return last if last is not None and is_young(last, now, self._parameters) else None
        return self._marks[TETHER]


@dataclass(frozen=True)
class _Heard:
    """Tickers by coin, and when they were heard by this machine's monotonic clock."""

    tickers: Mapping[str, Mapping[str, Any]]
    at: float


@dataclass
class _Line:
    """One exchange: its client, what it is being asked, and how long it is left alone."""

    venue: Venue
    client: Any
    pending: Future[_Heard] | None = None
    heard: _Heard | None = None
    failures: int = 0
    retry_at: float = -inf
    silent: str = ""  # why it gave nothing this time
    trouble: str = ""  # its last failure, for the time in which it is left alone

    def collect(self, limits: LiveLimits) -> None:
        """Take the answer if there is one. A question that is still open stays so, and no second one is asked."""
        self.silent, self.heard = "", None
        if self.pending is None:
            self.silent = f"left alone after {self.failures} failures ({self.trouble})"
        elif not self.pending.done():
            self._failed(f"no answer within {limits.deadline_s:g} s", limits)
        else:
            answered, self.pending = self.pending, None
            try:
                self.heard = answered.result()
                self.failures = 0
            except TROUBLE as error:
                self._failed(reason_of(error), limits)

    def quotes(self, coin: str, now: datetime, moment: float) -> Iterator[Quote]:
        """The quote of `coin`, if there is one; `now` and `moment` are the same instant by both clocks."""
        ticker = self.heard.tickers.get(coin) if self.heard is not None else None
        if self.heard is not None and ticker is not None:
            yield _quote(self.venue, ticker, now - timedelta(seconds=moment - self.heard.at))

    def may_list(self, coin: str) -> bool:
        """Whether the exchange lists the coin, or has not yet said what it lists."""
        return not self.client.markets or f"{coin}/{self.venue.currency}" in self.client.markets

    def _failed(self, reason: str, limits: LiveLimits) -> None:
        self.silent = self.trouble = reason
        self.failures += 1
        self.retry_at = time.monotonic() + min(limits.backoff_s * 2 ** (self.failures - 1), limits.backoff_max_s)


def _hear(client: Any, venue: Venue) -> _Heard:
    """All tickers of one exchange, in its own thread. Raises one of TROUBLE."""
    client.load_markets()
    symbols = {}
    for coin in (*COINS, *STABLECOINS):
        market = client.markets.get(f"{coin}/{venue.currency}")
        if market is not None and market["active"] is not False:
            symbols[market["symbol"]] = coin
    if venue.by_coin:
        found = {symbol: client.fetch_ticker(symbol) for symbol in symbols}
    else:
        found = client.fetch_tickers(list(symbols))
    tickers = {symbols[symbol]: ticker for symbol, ticker in found.items() if symbol in symbols}
    if not tickers:
        raise ValueError("the answer holds no ticker")
    return _Heard(tickers, time.monotonic())


def _quote(venue: Venue, ticker: Mapping[str, Any], heard_at: datetime) -> Quote:
    """A ticker as a quote: the middle of the book where there is one, else the last trade. An exchange that gives no
    time gave the book as it answered; a last trade without a time is no price, nor is what has an impossible one."""
    bid, ask, last = (_decimal(ticker.get(field)) for field in ("bid", "ask", "last"))
    stamp = ticker.get("timestamp")
    at = _time(stamp)
    booked = bid is not None and ask is not None
    price = (bid + ask) / 2 if bid is not None and ask is not None else last
    if price is None or (at is None and (stamp is not None or not booked)):
        price = Decimal("NaN")
    return Quote(
        source=venue.name,
        price=price,
        at=at or heard_at,
        volume=float(ticker.get("baseVolume") or 0.0),
        currency=venue.currency,
        bid=bid,
        ask=ask,
    )


def _time(milliseconds: Any) -> datetime | None:
    """The moment of a stamp; None for what is absent or no time of this world, such as one in another unit."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000.0, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _decimal(value: Any) -> Decimal | None:
    """A float as the decimal it prints as; None for what is absent or zero, which exchanges send for an empty book."""
    if value is None or not isfinite(value) or value == 0:
        return None
    return Decimal(repr(float(value)))
