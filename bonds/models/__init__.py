"""The nouns of securitised tail risk. The arithmetic is in `loss`, the acts in `offering` and `servicing`."""

from bonds.models.acts import SliceAct
from bonds.models.book import Allocation, NotePayment, OfferedClass, Offering, Order
from bonds.models.collateral import EscrowReading
from bonds.models.eligibility import EligibilityApplication, EligibleWallet
from bonds.models.holdings import Holding, NoteTransfer
from bonds.models.marks import NoteMark, SliceMark
from bonds.models.payments import (
    CouponPart,
    CouponPayment,
    CouponRun,
    HolderClaim,
    HolderNotice,
    Redemption,
    Reserve,
    RollForward,
    SpreadCharge,
)
from bonds.models.rulesets import StoredRuleset
from bonds.models.series import Series, SeriesEvent, Slice, SlicePart, Tranche
from bonds.models.structuring import Document, SeriesDocument, SeriesDraft, TermSheet

__all__ = [
    "Allocation",
    "CouponPart",
    "CouponPayment",
    "CouponRun",
    "Document",
    "EligibilityApplication",
    "EligibleWallet",
    "EscrowReading",
    "HolderClaim",
    "HolderNotice",
    "Holding",
    "NoteMark",
    "NotePayment",
    "NoteTransfer",
    "OfferedClass",
    "Offering",
    "Order",
    "Redemption",
    "Reserve",
    "RollForward",
    "Series",
    "SeriesDocument",
    "SeriesDraft",
    "SeriesEvent",
    "Slice",
    "SliceAct",
    "SliceMark",
    "SlicePart",
    "SpreadCharge",
    "StoredRuleset",
    "TermSheet",
    "Tranche",
]
