"""The nouns of the intermediary, one a file."""

from intermediary.models import lookups as lookups
from intermediary.models.admission import TradeCheck
from intermediary.models.agreement import TermsVersion
from intermediary.models.api_token import ApiToken
from intermediary.models.approval import Proposal
from intermediary.models.audit import AuditRecord
from intermediary.models.cell import Cell, Layer
from intermediary.models.credit import CreditLine
from intermediary.models.default import (
    CloseOutSlice,
    DefaultCase,
    DefaultEvent,
    LayerLoss,
    RecoveryReceipt,
    UncoveredShare,
)
from intermediary.models.journal import Account, AccountKind, Asset, JournalEntry, Posting
from intermediary.models.margin import (
    CallEvent,
    CallIncrement,
    ClockStop,
    MarginCall,
    MarginPoint,
    MarginState,
    Withdrawal,
)
from intermediary.models.outbox import ChainInstruction, ChainTarget, Delivery, Event
from intermediary.models.party import Affiliation, Membership, OwnToken, Party, Wallet
from intermediary.models.request import CommandRequest
from intermediary.models.trading import BookVersion, Instrument, Lot, Mark, Position, Trade, Valuation
from intermediary.models.variation import VariationPayment

__all__ = [
    "Account",
    "AccountKind",
    "Affiliation",
    "ApiToken",
    "Asset",
    "AuditRecord",
    "BookVersion",
    "CallEvent",
    "CallIncrement",
    "Cell",
    "ChainInstruction",
    "ChainTarget",
    "ClockStop",
    "CloseOutSlice",
    "CommandRequest",
    "CreditLine",
    "DefaultCase",
    "DefaultEvent",
    "Delivery",
    "Event",
    "Instrument",
    "JournalEntry",
    "Layer",
    "LayerLoss",
    "Lot",
    "MarginCall",
    "MarginPoint",
    "MarginState",
    "Mark",
    "Membership",
    "OwnToken",
    "Party",
    "Position",
    "Posting",
    "Proposal",
    "RecoveryReceipt",
    "TermsVersion",
    "Trade",
    "TradeCheck",
    "UncoveredShare",
    "Valuation",
    "VariationPayment",
    "Wallet",
    "Withdrawal",
]
