"""A sealed bid: the text whose hash is committed, and what the opening must be to count. Standard library only.

The opening is canonical JSON, so that a browser, this file and anyone with the report hash the same bytes:

    {"bidder": sha256("bulkhead-bidder-1:<party id>:<nonce>"), "format": "bulkhead-bid-1",
     "ladder": [{"amount": "5000000000000", "spread_bps": 400}, ...], "minimum_fill": "0", "note": "<symbol>",
     "salt": "<64 hex digits>", "series": "<code>"}

The commitment is its SHA-256. The salt keeps a ladder from being guessed; the nonce, which is never published, ties the
opening to one party without naming it, so that nobody can copy another's commitment and open it as his own.
"""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bonds.offering.book import STEPS_MAX, Bid, Step
from intermediary.canonical import canonical_json, read_json, sha256_hex
from intermediary.errors import BadInput, Refusal

FORMAT = "bulkhead-bid-1"
OPENING_CHARACTERS_MAX = 4_000  # twenty steps of the largest amounts take half of it
SPREAD_BPS_MAX = 10_000  # a bid for more than the principal itself each year is a slip of the keyboard
FIELDS = {"bidder", "format", "ladder", "minimum_fill", "note", "salt", "series"}
HEX_64 = re.compile(r"[0-9a-f]{64}")
WHOLE = re.compile(r"0|[1-9][0-9]{0,28}")  # far beyond any amount of a ledger, and cheap to read


@dataclass(frozen=True)
class Opening:
    """A ladder with its secret. Amounts in base units; steps in rising spread."""

    series: str
    note: str
    bidder: str
    steps: tuple[Step, ...]
    minimum_fill_base_units: int
    salt: str

    @property
    def text(self) -> str:
        """The canonical text that is hashed."""
        ladder = [{"amount": str(step.amount_base_units), "spread_bps": step.spread_bps} for step in self.steps]
        return canonical_json(
            {
                "bidder": self.bidder,
                "format": FORMAT,
                "ladder": ladder,
                "minimum_fill": str(self.minimum_fill_base_units),
                "note": self.note,
                "salt": self.salt,
                "series": self.series,
            }
        )

    @property
    def commitment(self) -> str:
        return sha256_hex(self.text)

    def bid(self, rank: int) -> Bid:
        """As the book sees it, under the name of its commitment."""
        return Bid(self.commitment, rank, self.steps, self.minimum_fill_base_units)


def bidder_of(party_id: UUID, nonce: str) -> str:
    """The anonymous name of a bidder in one opening."""
    return sha256_hex(f"bulkhead-bidder-1:{party_id}:{nonce}")


def read(text: str) -> Opening:
    """The opening in a text. Refuses what is no opening, and any but the canonical form of one."""
    if len(text) > OPENING_CHARACTERS_MAX:
        raise BadInput("opening_unreadable", "This is longer than any opening of a bid.")
    try:
        opening = _read(read_json(text))
    except (ValueError, TypeError, KeyError) as problem:
        raise BadInput("opening_unreadable", "This is no opening of a bid.") from problem
    if opening.text != text:
        raise BadInput("opening_unreadable", "The opening is not in its canonical form.")
    return opening


def refuse_other(opening: Opening, commitment: str, series: str, note: str, party_id: UUID, nonce: str) -> None:
    """Refuse an opening of another commitment, for another class, or of another party."""
    if opening.commitment != commitment:
        raise Refusal(
            "reveal_does_not_match",
            "This is not the bid that was sealed: its hash is another.",
            sealed=commitment,
            revealed=opening.commitment,
        )
    if (opening.series, opening.note) != (series, note):
        message = "This bid was sealed for another class."
        raise Refusal(
            "reveal_of_another_class", message, sealed_for=[opening.series, opening.note], asked=[series, note]
        )
    if opening.bidder != bidder_of(party_id, nonce):
        raise Refusal("reveal_of_another_bidder", "This bid was sealed by somebody else, or its nonce is missing.")


def refuse_bad_ladder(opening: Opening, denomination_base_units: int) -> None:
    """Refuse a ladder off the denomination, out of order or out of range."""
    spreads = [step.spread_bps for step in opening.steps]
    amounts = [step.amount_base_units for step in opening.steps]
    if not 1 <= len(spreads) <= STEPS_MAX or sorted(set(spreads)) != spreads:
        raise BadInput("ladder_out_of_order", f"A ladder has 1 to {STEPS_MAX} steps of rising spread.", steps=spreads)
    if not 0 <= spreads[0] <= spreads[-1] <= SPREAD_BPS_MAX:
        raise BadInput("spread_out_of_range", f"A spread lies between 0 and {SPREAD_BPS_MAX} basis points.")
    off = [amount for amount in amounts if amount <= 0 or amount % denomination_base_units]
    if off or opening.minimum_fill_base_units % denomination_base_units:
        raise BadInput(
            "off_denomination",
            "Amounts and the minimum fill are multiples of the denomination.",
            denomination_base_units=denomination_base_units,
        )
    if opening.minimum_fill_base_units > sum(amounts):
        raise BadInput("minimum_fill_too_large", "The minimum fill is more than the whole order.")


def _read(body: Any) -> Opening:
    if set(body) != FIELDS or body["format"] != FORMAT:
        raise ValueError("not an opening")
    if not all(HEX_64.fullmatch(body[name]) for name in ("bidder", "salt")):
        raise ValueError("not a hash")
    return Opening(
        series=_text(body["series"]),
        note=_text(body["note"]),
        bidder=body["bidder"],
        steps=tuple(Step(_spread(step["spread_bps"]), _amount(step["amount"])) for step in body["ladder"]),
        minimum_fill_base_units=_amount(body["minimum_fill"]),
        salt=body["salt"],
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _spread(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _amount(value: Any) -> int:
    if not WHOLE.fullmatch(value):
        raise ValueError("not an amount")
    return int(value)
