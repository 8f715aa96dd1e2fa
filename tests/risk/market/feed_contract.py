"""What every feed promises, whether it replays a recording, rebuilds a day or asks exchanges now."""

from datetime import datetime, timedelta
from itertools import pairwise

from risk.market.feeds import Feed
from risk.market.parameters import COINS


def assert_contract(feed: Feed, start: datetime, end: datetime) -> None:
    """Check the promises on [start, end], in which the feed has several snapshots and knows no other."""
    snapshots = list(feed.bars(start, end))
    times = [snapshot.as_of for snapshot in snapshots]
    assert len(snapshots) > 2
    assert {snapshot.source for snapshot in snapshots} == {feed.source}
    assert all(before < after for before, after in pairwise(times))
    assert start <= times[0]
    assert times[-1] <= end
    assert feed.first <= times[0]
    assert times[-1] <= feed.last
    assert {snapshot.coins for snapshot in snapshots} == {COINS}
    _assert_walking_gives_the_same(feed, times, [snapshot.id for snapshot in snapshots])
    assert [snapshot.id for snapshot in feed.bars(times[1], times[1])] == [snapshots[1].id]
    assert list(feed.bars(times[0] + timedelta(microseconds=1), times[1] - timedelta(microseconds=1))) == []
    assert feed.next_after(feed.last) is None


def _assert_walking_gives_the_same(feed: Feed, times: list[datetime], ids: list[str]) -> None:
    walked, moment = [], times[0] - timedelta(microseconds=1)
    while moment < times[-1]:
        snapshot = feed.next_after(moment)
        assert snapshot is not None
        assert snapshot.as_of > moment
        walked.append(snapshot.id)
        moment = snapshot.as_of
    assert walked == ids
