"""The form of a margin statement as a client downloads it: names, format, and its figures in words. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from intermediary.money import from_base_units

FORMAT = "bulkhead-margin-statement-1"
AMOUNTS = ("exposure", "independent_amount", "required", "held")
SETTLEMENT_DECIMALS = 6  # statements are in base units of USDC


def plain(row: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a leaf for a person: amounts in USDC, exactly, and the time in UTC."""
    amounts = {name: f"{from_base_units(int(row[name]), SETTLEMENT_DECIMALS):f} USDC" for name in AMOUNTS}
    return amounts | {"as_of": datetime.fromtimestamp(row["as_of"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
