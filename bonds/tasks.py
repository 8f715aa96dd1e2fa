"""Wake-ups of the bonds workers. Rows decide what is left to do; the numeric stack loads inside the task."""

from uuid import UUID

from celery import Task, shared_task

from risk.tasks import measuring


@shared_task(name="bonds.remark", bind=True, max_retries=None)
def remark(self: Task, tick_id: str) -> None:
    """Mark every note at this tick, then renew term sheets while there is time."""
    from bonds.marking import sheets, valuation

    with measuring(self):
        valuation.remark(UUID(tick_id))
        sheets.renew(UUID(tick_id))


@shared_task(name="bonds.service")
def service() -> None:
    """Coupons, maturities and reviews whose time has come."""
    from bonds.servicing import due

    due.step()
