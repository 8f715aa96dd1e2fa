"""Wake-ups of the risk engine: open a tick, run a shard, renew the live risk of layers. Rows decide what is left."""

from uuid import UUID

from celery import shared_task

SHARDS = 2  # one for each worker process of a two-core machine; the results do not depend on it


@shared_task(name="risk.open_tick")
def open_tick(snapshot_id: str) -> None:
    """Value the market officially and hand out the shards of the relationships."""
    from risk import engine

    tick = engine.open_tick(snapshot_id, SHARDS)
    for shard in tick.shards.filter(done_at=None):
        run_shard.delay(str(tick.id), shard.number)


@shared_task(name="risk.run_shard")
def run_shard(tick_id: str, number: int) -> None:
    """Renew the requirements of one part of the relationships."""
    from risk import engine

    engine.run_shard(UUID(tick_id), number)


@shared_task(name="risk.renew_layers")
def renew_layers(tick_id: str) -> None:
    """Renew expected loss and attachment probability of every layer."""
    from risk import live_layers

    live_layers.renew(UUID(tick_id))
