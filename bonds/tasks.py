"""Wake-ups of the bonds workers. Rows decide what is left to do; the numeric stack loads inside the task."""

from uuid import UUID

from celery import shared_task


@shared_task(name="bonds.remark")
def remark(tick_id: str) -> None:
    """Mark every note at this tick."""
    from bonds import valuation

    valuation.remark(UUID(tick_id))
