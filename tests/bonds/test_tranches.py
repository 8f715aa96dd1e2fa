"""Write-down and write-up of slices: refusals, effects, then the invariants over the life of a tranche."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonds.loss.tranches import (
    PrincipalChange,
    Slice,
    SliceState,
    apply_change,
    changes_of_slice,
    principal_change,
    redeem,
    reserved_base_units,
    slice_loss_base_units,
)
from bonds.offering.terms import EXTENSION_BUFFERS
from intermediary.errors import Refusal
from tests.bonds.note_model import break_of

MILLION = 10**12  # one million tokens of six decimals
A = UUID(int=1)
BUFFERS = [Fraction(factor) for _, factor in EXTENSION_BUFFERS]
WORKED_EXAMPLE = Slice(A, 1_500_000 * 10**6, 7_500_000 * 10**6, 6 * MILLION)


@st.composite
def slices(draw: st.DrawFn, relationship_id: UUID = A) -> Slice:
    attach = draw(st.integers(0, 10**15))
    width = draw(st.integers(1, 10**15))
    return Slice(relationship_id, attach, attach + width, draw(st.integers(1, width)))


net_losses = st.integers(0, 3 * 10**15)


@pytest.mark.parametrize(("attach", "detach", "principal"), [(5, 5, 1), (6, 5, 1), (-1, 5, 1), (0, 5, 0), (0, 5, 6)])
def test_a_slice_refuses_terms_that_are_no_layer(attach: int, detach: int, principal: int) -> None:
    with pytest.raises(ValueError):
        Slice(A, attach, detach, principal)


def test_a_negative_net_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="surplus"):
        slice_loss_base_units(Slice(A, 0, 10, 10), -1)


def test_a_write_down_beyond_the_outstanding_principal_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        apply_change(SliceState.issued(Slice(A, 0, 10, 10)), PrincipalChange(11, 0, 0))
    assert refused.value.code == "exceeds_outstanding"


def test_a_write_up_beyond_what_was_written_down_is_refused() -> None:
    state = apply_change(SliceState.issued(Slice(A, 0, 10, 10)), PrincipalChange(4, 0, 0))
    with pytest.raises(Refusal) as refused:
        apply_change(state, PrincipalChange(0, 5, 0))
    assert refused.value.code == "exceeds_written_down"


@pytest.mark.parametrize("amount", [-1, 11])
def test_a_redemption_outside_the_outstanding_principal_is_refused(amount: int) -> None:
    with pytest.raises(Refusal) as refused:
        redeem(SliceState.issued(Slice(A, 0, 10, 10)), amount)
    assert refused.value.code == "exceeds_outstanding"


@pytest.mark.parametrize(
    ("net_loss", "loss"), [(0, 0), (99, 0), (100, 0), (101, 1), (150, 50), (199, 99), (200, 100), (10**9, 100)]
)
def test_a_slice_loses_what_lies_between_attach_and_detach(net_loss: int, loss: int) -> None:
    assert slice_loss_base_units(Slice(A, 100, 200, 100), net_loss) == loss


def test_the_worked_example_is_written_off_and_recovers_to_factor_040() -> None:
    down = principal_change(SliceState.issued(WORKED_EXAMPLE), 8_500_000 * 10**6)
    state = apply_change(SliceState.issued(WORKED_EXAMPLE), down)
    assert (down.write_down_base_units, state.outstanding_base_units) == (6 * MILLION, 0)
    up = principal_change(state, 5_100_000 * 10**6)
    state = apply_change(state, up)
    assert (up.write_up_base_units, state.outstanding_base_units) == (2_400_000 * 10**6, 6 * MILLION * 2 // 5)


def test_the_retained_vertical_slice_bears_its_share_and_the_rounding() -> None:
    slice_ = Slice(A, 0, 100, 95)
    assert slice_loss_base_units(slice_, 50) == 47
    assert slice_loss_base_units(slice_, 100) == 95


def test_a_loss_after_redemption_is_reported_as_unabsorbed() -> None:
    state = redeem(SliceState.issued(Slice(A, 0, 100, 100)), 70)
    change = principal_change(state, 50)
    assert change == PrincipalChange(write_down_base_units=30, write_up_base_units=0, unabsorbed_base_units=20)


def test_recovery_right_survives_full_redemption() -> None:
    slice_ = Slice(A, 0, 100, 100)
    state = apply_change(SliceState.issued(slice_), principal_change(SliceState.issued(slice_), 40))
    state = redeem(state, 60)
    state = apply_change(state, principal_change(state, 15))
    assert (state.outstanding_base_units, state.net_written_down_base_units) == (25, 15)


def test_extension_reserves_the_buffered_estimate_above_attach_and_releases_the_rest() -> None:
    state = SliceState.issued(Slice(A, 100, 200, 100))
    assert reserved_base_units(state, 90, Fraction(3, 2)) == 35
    assert reserved_base_units(state, 60, Fraction(3, 2)) == 0
    assert reserved_base_units(state, 500, Fraction(1)) == 100


def test_what_is_written_down_already_is_not_reserved_again() -> None:
    state = SliceState.issued(Slice(A, 100, 200, 100))
    state = apply_change(state, principal_change(state, 130))
    assert reserved_base_units(state, 150, Fraction(1)) == 20
    assert reserved_base_units(state, 120, Fraction(1)) == 0


@given(slices(), st.lists(net_losses, max_size=8), net_losses)
def test_principal_after_a_history_of_losses_depends_only_on_the_last(
    slice_: Slice, history: list[int], last: int
) -> None:
    direct = apply_change(SliceState.issued(slice_), principal_change(SliceState.issued(slice_), last))
    state = SliceState.issued(slice_)
    for net_loss in [*history, last]:
        state = apply_change(state, principal_change(state, net_loss))
    assert state.outstanding_base_units == direct.outstanding_base_units
    assert principal_change(state, last) == PrincipalChange(0, 0, 0)


@given(slices(), st.lists(st.tuples(net_losses, st.fractions(0, 1)), max_size=10))
def test_principal_identity_holds_through_losses_recoveries_and_redemptions(
    slice_: Slice, life: list[tuple[int, Fraction]]
) -> None:
    state = SliceState.issued(slice_)
    for net_loss, share_redeemed in life:
        change = principal_change(state, net_loss)
        assert 0 in (change.write_down_base_units, change.write_up_base_units)
        state = apply_change(state, change)
        state = redeem(state, int(state.outstanding_base_units * share_redeemed))
        assert break_of(state) == 0
        assert state.outstanding_base_units + state.redeemed_base_units <= slice_.principal_base_units


@given(slices(), net_losses, net_losses)
def test_slice_loss_rises_with_net_loss_and_stays_within_principal(slice_: Slice, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 0 <= slice_loss_base_units(slice_, low) <= slice_loss_base_units(slice_, high) <= slice_.principal_base_units


@given(net_losses, st.lists(st.integers(1, 10**15), min_size=1, max_size=5))
def test_a_stack_of_fully_sold_slices_bears_the_whole_loss(net_loss: int, widths: list[int]) -> None:
    attach, total = 0, 0
    for width in widths:
        total += slice_loss_base_units(Slice(A, attach, attach + width, width), net_loss)
        attach += width
    assert total == min(net_loss, attach)


@given(slices(), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.lists(net_losses, min_size=1, max_size=8))
def test_classes_of_a_slice_lose_junior_first_and_add_up_to_what_the_slice_loses(
    slice_: Slice, cuts: list[int], life: list[int]
) -> None:
    states = [SliceState.issued(part) for part in classes_of(slice_, cuts)]
    for net_loss in life:
        states = [
            apply_change(state, change)
            for state, change in zip(states, changes_of_slice(states, net_loss), strict=True)
        ]
        lost = [state.net_written_down_base_units for state in states]
        assert lost == [slice_loss_base_units(state.slice, net_loss) for state in states]
        assert sum(lost) == slice_loss_base_units(
            replace(slice_, principal_base_units=slice_.width_base_units), net_loss
        )
        for junior, senior in pairwise(states):
            assert senior.net_written_down_base_units == 0 or junior.outstanding_base_units == 0


def classes_of(slice_: Slice, cuts: list[int]) -> list[Slice]:
    """The same layer, sold in full in classes of about these proportions, junior first; no class is empty."""
    edges, passed = [slice_.attach_base_units], 0
    for cut in cuts:
        passed += cut
        edges.append(slice_.attach_base_units + slice_.width_base_units * passed // sum(cuts))
    return [Slice(A, low, high, high - low) for low, high in pairwise(edges) if high > low]


@given(slices(), st.integers(0, 3 * 10**15), st.sampled_from(BUFFERS), st.fractions(0, 1))
def test_reserved_and_released_are_the_outstanding_principal(
    slice_: Slice, estimate: int, buffer: Fraction, redeemed_share: Fraction
) -> None:
    state = SliceState.issued(slice_)
    state = redeem(state, int(slice_.principal_base_units * redeemed_share))
    reserved = reserved_base_units(state, estimate, buffer)
    assert 0 <= reserved <= state.outstanding_base_units
    after = redeem(state, state.outstanding_base_units - reserved)
    assert after.outstanding_base_units == reserved
    assert break_of(after) == 0
    still_uncovered = principal_change(after, estimate).unabsorbed_base_units
    assert still_uncovered == principal_change(state, estimate).unabsorbed_base_units
