"""Fees of a transaction that must get through."""

from settlement.fees import PATIENCE_BLOCKS, Fees, bumped, first_offer, is_overdue

GWEI = 10**9


def test_first_offer_covers_a_doubled_base_fee() -> None:
    assert first_offer(30 * GWEI, 2 * GWEI, 500 * GWEI) == Fees(62 * GWEI, 2 * GWEI)


def test_first_offer_never_passes_the_cap_and_the_tip_never_the_offer() -> None:
    assert first_offer(300 * GWEI, 2 * GWEI, 500 * GWEI) == Fees(500 * GWEI, 2 * GWEI)
    assert first_offer(300 * GWEI, 9 * GWEI, 5 * GWEI) == Fees(5 * GWEI, 5 * GWEI)


def test_bump_raises_both_fees_by_an_eighth_rounded_up() -> None:
    assert bumped(Fees(100, 7), 1000) == Fees(113, 8)


def test_bump_of_any_fee_satisfies_the_tenth_that_nodes_ask_for() -> None:
    fees = Fees(1, 1)
    for _ in range(80):
        raised = bumped(fees, 10**18)
        assert raised is not None
        assert raised.max_fee_wei * 10 >= fees.max_fee_wei * 11
        assert raised.priority_fee_wei * 10 >= fees.priority_fee_wei * 11
        fees = raised


def test_at_the_cap_there_is_no_bump() -> None:
    assert bumped(Fees(900, 1), 1000) is None


def test_overdue_after_three_blocks() -> None:
    assert not is_overdue(10, 10 + PATIENCE_BLOCKS - 1)
    assert is_overdue(10, 10 + PATIENCE_BLOCKS)
