"""EIP-1559 fees of a transaction that must get through, pure: wei in, wei out.

A first offer covers one doubling of the base fee (six full blocks in a row). What is not mined after three blocks is
offered again with both fees an eighth higher: nodes replace a transaction only for at least a tenth more. There is a
cap; at the cap the same bytes are sent again and a person is told, because a key that pays anything can be drained.
"""

from dataclasses import dataclass

PATIENCE_BLOCKS = 3  # a block that would take us is due every block; three misses mean the offer is too low


@dataclass(frozen=True)
class Fees:
    """Both fees of a type-2 transaction, wei a unit of gas."""

    max_fee_wei: int
    priority_fee_wei: int


def first_offer(base_fee_wei: int, tip_wei: int, cap_wei: int) -> Fees:
    """max fee = 2 x base fee + tip, at most the cap; the tip never exceeds the max fee."""
    max_fee = min(2 * base_fee_wei + tip_wei, cap_wei)
    return Fees(max_fee, min(tip_wei, max_fee))


def bumped(fees: Fees, cap_wei: int) -> Fees | None:
    """Both fees x 1.125, rounded up; None when that would pass the cap (send the same bytes again, tell a person)."""
    raised = Fees(_eighth_more(fees.max_fee_wei), _eighth_more(fees.priority_fee_wei))
    return raised if raised.max_fee_wei <= cap_wei else None


def is_overdue(sent_block: int, head: int) -> bool:
    """Whether a transaction offered at block `sent_block` has waited long enough at block `head`."""
    return head - sent_block >= PATIENCE_BLOCKS


def _eighth_more(fee_wei: int) -> int:
    return -(-fee_wei * 9 // 8)
