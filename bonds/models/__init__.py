"""The nouns of securitised tail risk. The arithmetic is in `loss`, the acts in `offering` and `servicing`."""

from bonds.models.acts import SliceAct
from bonds.models.book import Allocation, Order
from bonds.models.eligibility import EligibilityApplication, EligibleWallet
from bonds.models.holdings import Holding
from bonds.models.marks import NoteMark, SliceMark
from bonds.models.series import Series, SeriesEvent, Slice, SlicePart, Tranche

__all__ = [
    "Allocation",
    "EligibilityApplication",
    "EligibleWallet",
    "Holding",
    "NoteMark",
    "Order",
    "Series",
    "SeriesEvent",
    "Slice",
    "SliceAct",
    "SliceMark",
    "SlicePart",
    "Tranche",
]
