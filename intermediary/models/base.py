"""What every table shares: its key, its two times, and the column types of money and quantities."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from intermediary.ids import uuid7
from intermediary.money import AMOUNT_LIMIT

if TYPE_CHECKING:
    IntField = models.Field[int, int]
    ExactDecimalField = models.DecimalField[Decimal, Decimal]
else:
    IntField = models.Field
    ExactDecimalField = models.DecimalField


class PlatformNow(models.Func):
    """`platform_now()`: the database's own platform time, see intermediary.clock."""

    function = "platform_now"
    arity = 0
    output_field = models.DateTimeField()


class BaseUnitsField(IntField):
    """An amount in a token's base units: NUMERIC(78,0) in the database, a Python int outside, |amount| < 2**96.

    Django's DecimalField would pass through a 28-digit context and lose digits.
    """

    description = "integer amount in base units"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric(78,0)"

    def db_check(self, connection: BaseDatabaseWrapper) -> str:
        return f'abs("{self.column}") < {AMOUNT_LIMIT}'

    def from_db_value(self, value: Decimal | None, expression: object, connection: object) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> int | None:
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> Decimal | None:
        if value is None:
            return None
        if not isinstance(value, int):
            raise TypeError(f"{self.name}: an amount is an int of base units, not {type(value).__name__}")
        return Decimal(value)


class DocumentField(models.JSONField):
    """A document that is written and read as a whole, as text: nobody asks the database what is in it, so it need not
    take each one apart."""

    description = "JSON document"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: object, connection: BaseDatabaseWrapper) -> Any:
        return value  # the driver has read it


class ExactField(ExactDecimalField):
    """A quantity or a price: exact decimal, 18 places."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 48, 18
        super().__init__(*args, **kwargs)


class Row(models.Model):
    """A row with a time-ordered key, the platform time it speaks of, and the wall-clock time it was written."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(db_default=PlatformNow(), editable=False)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {str(self.pk)[-6:]}"
