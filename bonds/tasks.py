"""Wake-ups of the bonds workers. Rows decide what is left to do; the numeric stack loads inside the task."""

from uuid import UUID

from celery import Task, shared_task

from risk.tasks import MEASURING, SHARDS, measuring

ALONE_UP_TO = 200  # classes whose marks one worker makes in less than the time that two need to share them


@shared_task(name="bonds.remark", bind=True, max_retries=None, **MEASURING)
def remark(self: Task, tick_id: str) -> None:
    """Mark every note at this tick, many by all workers; then renew term sheets while there is time."""
    from bonds.marking import sheets, valuation
    from bonds.models import Tranche

    with measuring(self):
        classes = Tranche.objects.filter(series__state__in=valuation.MARKED).count()
        parts = SHARDS if classes > ALONE_UP_TO else 1
        for number in range(1, parts):
            remark_part.delay(tick_id, number, parts)
        valuation.remark(UUID(tick_id), 0, parts)
        sheets.renew(UUID(tick_id))


@shared_task(name="bonds.remark_part", **MEASURING)
def remark_part(tick_id: str, number: int, of: int) -> None:
    """One part of the marks of many notes, beside the others."""
    from bonds.marking import valuation

    valuation.remark(UUID(tick_id), number, of)


@shared_task(name="bonds.service")
def service() -> None:
    """Coupons, maturities and reviews whose time has come."""
    from bonds.servicing import due

    due.step()
