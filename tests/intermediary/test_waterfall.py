"""The order of loss in one relationship, over random stacks and random histories of receipts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermediary.waterfall import LayerBand, allocate, layer_loss, net_loss, share_pro_rata, share_steadily

AMOUNT = st.integers(min_value=0, max_value=10**18)
WIDTHS = st.lists(st.integers(min_value=1, max_value=10**15), max_size=6)
M = 10**6


def stack(widths: list[int]) -> list[LayerBand[int]]:
    """Layers of these widths, end to end from zero, keyed by place."""
    bands, top = [], 0
    for place, width in enumerate(widths):
        bands.append(LayerBand(place, top, top + width))
        top += width
    return bands


def losses(loss: int, widths: list[int]) -> list[int]:
    result = allocate(loss, stack(widths))
    return [amount for _, amount in result.layer_losses] + [result.uncovered_base_units]


@given(AMOUNT, WIDTHS)
def test_c1_layers_and_uncovered_sum_to_the_loss(loss: int, widths: list[int]) -> None:
    assert sum(losses(loss, widths)) == loss


@given(AMOUNT, WIDTHS)
def test_c2_a_layer_never_loses_more_than_its_size(loss: int, widths: list[int]) -> None:
    assert all(0 <= amount <= width for amount, width in zip(losses(loss, widths), widths, strict=False))


@given(AMOUNT, WIDTHS)
def test_c3_a_layer_loses_only_when_all_below_are_full(loss: int, widths: list[int]) -> None:
    amounts = losses(loss, widths)
    for place, amount in enumerate(amounts):
        if amount:
            assert amounts[:place] == widths[:place]


@given(AMOUNT, WIDTHS, st.lists(st.integers(min_value=1, max_value=10**17), max_size=8), st.randoms())
def test_the_order_of_receipts_is_irrelevant_and_c4_write_ups_stay_below_write_downs(
    loss: int, widths: list[int], receipts: list[int], random: object
) -> None:
    def after_all(amounts: list[int]) -> list[int]:
        left, state = loss, losses(loss, widths)
        down = list(state)
        up = [0] * len(state)
        for amount in amounts:
            left = max(0, left - amount)
            new = losses(left, widths)
            changes = [was - now for was, now in zip(state, new, strict=True)]
            assert all(change >= 0 for change in changes), "a receipt never writes anything down"
            up = [total + change for total, change in zip(up, changes, strict=True)]
            state = new
        assert all(raised <= lowered for raised, lowered in zip(up, down, strict=True))
        return state

    shuffled = list(receipts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert after_all(receipts) == after_all(shuffled) == losses(max(0, loss - sum(receipts)), widths)


@given(AMOUNT, st.integers(min_value=0, max_value=10**17), WIDTHS)
def test_a_receipt_pays_the_most_senior_bearer_first(loss: int, receipt: int, widths: list[int]) -> None:
    before, after = losses(loss, widths), losses(max(0, loss - receipt), widths)
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        if now < was:
            assert not any(after[place + 1 :]), "everything above is whole again"


@given(AMOUNT, AMOUNT, AMOUNT, AMOUNT)
def test_n_is_never_negative_and_falls_by_what_is_not_its_own(deficit: int, costs: int, ours: int, back: int) -> None:
    n = net_loss(close_out_deficit=deficit, costs=costs, added_by_us=ours, recoveries=back)
    assert n == max(0, deficit + costs - ours - back)


@given(AMOUNT, st.lists(AMOUNT, min_size=1, max_size=8))
def test_shares_are_exact_and_proportional_to_within_one_base_unit(amount: int, weights: list[int]) -> None:
    if amount and not sum(weights):
        with pytest.raises(ValueError, match="nobody"):
            share_pro_rata(amount, weights)
        return
    shares = share_pro_rata(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - amount * weight) <= sum(weights)


CLAIMS = st.lists(st.integers(min_value=0, max_value=10**15), min_size=1, max_size=8).filter(any)


@given(CLAIMS, AMOUNT, AMOUNT)
def test_claims_that_are_paid_back_only_fall_and_never_below_their_exact_share_rounded_down(
    claims: list[int], first: int, second: int
) -> None:
    total = sum(claims)
    least, most = sorted((first % (total + 1), second % (total + 1)))
    before = share_steadily(total, claims)
    assert before == claims
    for left in (most, max(least, most - 1), least):
        now = share_steadily(left, claims)
        assert sum(now) == left
        for was, share, claim in zip(before, now, claims, strict=True):
            assert left * claim // total <= share <= was
        before = now


@pytest.mark.parametrize("claims", [[1, 3, 3], [5, 1, 4], [0, 7, 2, 2, 1]])
def test_no_claim_rises_as_one_unit_after_the_other_is_paid_back(claims: list[int]) -> None:
    """Largest remainders give 1 of 3 and 0 of 4 to the first of (1, 3, 3); differences of rounded running sums fail
    the second of (5, 1, 4) in the same way."""
    shares = [share_steadily(left, claims) for left in range(sum(claims) + 1)]
    for less, more in pairwise(shares):
        assert sum(more) == sum(less) + 1
        assert all(one <= other for one, other in zip(less, more, strict=True))


def test_a_stack_with_a_gap_or_an_overlap_is_refused() -> None:
    for bands in ([LayerBand("a", 1, 2)], [LayerBand("a", 0, 2), LayerBand("b", 1, 3)], [LayerBand("a", 0, 0)]):
        with pytest.raises(ValueError, match="begin"):
            allocate(1, bands)


def test_the_worked_example_at_78000_after_the_recovery_and_at_60000() -> None:
    widths = [1_500_000 * M, 6_000_000 * M, 3_000_000 * M]
    assert losses(8_500_000 * M, widths) == [1_500_000 * M, 6_000_000 * M, 1_000_000 * M, 0]
    assert losses(5_100_000 * M, widths) == [1_500_000 * M, 3_600_000 * M, 0, 0]
    assert losses(27_116_500 * M, widths) == [1_500_000 * M, 6_000_000 * M, 3_000_000 * M, 16_616_500 * M]


def test_a_layer_at_its_two_edges() -> None:
    assert [layer_loss(n, 10, 15) for n in (0, 10, 11, 15, 16)] == [0, 0, 1, 5, 5]
