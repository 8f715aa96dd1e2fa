"""Sharing a whole amount out exactly: no base unit is lost and none is made. Pure; standard library only."""

from collections.abc import Sequence


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Shares of `total` >= 0 in proportion to the weights, each rounded down, then one base unit each to the largest
    remainders, the earlier first where they tie. The shares add up to `total`.

    Raises ValueError when the weights are negative or all zero.
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError(f"{total} cannot be shared out by {weights}")
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    left = total - sum(shares)
    for place in sorted(range(len(weights)), key=lambda place: (-remainders[place], place))[:left]:
        shares[place] += 1
    return shares
