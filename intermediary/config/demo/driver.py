"""Takes a built demo world from bar to bar with everything in hand: clock, blocks, wallets, the tick.

The live platform does the same in processes of their own that wait for each other; here one process does it in order,
so that a run is the same every time and ends where it is told to. For scenarios and screenshots.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from bonds.marking import valuation
from intermediary.config import replay
from intermediary.config.demo import bootstrap, wallet, world
from intermediary.config.models import Replay
from risk import engine, live_layers
from risk.market.feeds import Feed
from risk.market.snapshot import MarketSnapshot
from settlement import cycle
from settlement.chain import Chain
from settlement.demo_chain import mine

Tick = Callable[[str], object]


def tick_here(snapshot_id: str) -> None:
    """A whole tick in this process: requirements, then the live risk of layers and notes."""
    tick = engine.open_tick(snapshot_id, shards=1)
    engine.run_shard(tick.id, 0)
    live_layers.renew(tick.id)
    valuation.remark(tick.id)


class Driver:
    """A demo world and the means to take it through the replay. The caller starts the clock and binds the database.

    `tick` makes the requirements of a stored snapshot (by its id) current before it returns; `after_block` is called
    whenever blocks have become final and been reconciled.
    """

    def __init__(
        self,
        chain: Chain,
        feed: Feed,
        cast: world.Cast = world.DEMO,
        *,
        tick: Tick = tick_here,
        after_block: Callable[[], object] = lambda: None,
        say: bootstrap.Say = lambda _line: None,
    ) -> None:
        self.chain, self.feed, self.cast, self.tick, self.after_block = chain, feed, cast, tick, after_block
        self.builder = bootstrap.Builder(cast=cast, chain=chain, feed=feed, say=say)

    @property
    def starts_at(self) -> datetime:
        """Where the clock must stand before the world is built."""
        return self.builder.first_snapshot.as_of

    def bars(self, until: datetime | None = None) -> Iterator[MarketSnapshot]:
        """Every bar that is left (as far as `until`), each worked through to rest before it is yielded."""
        while (snapshot := self.upcoming()) is not None and (until is None or snapshot.as_of <= until):
            self.offer(snapshot)
            self.rest()
            yield snapshot

    def upcoming(self) -> MarketSnapshot | None:
        """The next bar; None at the end of the replay."""
        found = replay.next_bar(self.feed, Replay.objects.get())
        return found[0] if found else None

    def offer(self, snapshot: MarketSnapshot) -> None:
        """Let time pass until this bar and renew the requirements; what that sets off is not worked through yet."""
        replay.pass_time(snapshot.as_of, self._settle, self._act, self.cast)
        self.tick(replay.offer(snapshot))

    def rest(self) -> None:
        """Everything set off so far comes to rest, final on chain."""
        replay.work_through(self._settle, self._act, self.cast)

    def settle(self) -> None:
        """Everything instructed becomes final on chain, and nobody answers anything."""
        self._settle()
        replay.deliver_all()

    def _settle(self) -> None:
        cycle.settle_all(mine=mine, chain=self.chain, after_block=self.after_block)

    def _act(self) -> None:
        wallet.step(self.chain, self.cast, mine)
