"""What the chain has done for a series, told to servicing: a movement is final, the escrow was matured, a holder paid.

Every handler is harmless when repeated and for what is not its own.
"""

from bonds.models import HolderClaim, Redemption, Tranche
from bonds.offering import defaulted
from bonds.servicing import coupons, maturity, redemptions, suspension, write_downs
from bonds.servicing.locks import lock_whole
from intermediary.models import Event, Wallet


def on_instruction_final(event: Event) -> None:
    """A coupon, a repayment, a notice or a payment of a slice is final."""
    write_downs.on_instruction_final(event)
    coupons.on_instruction_final(event)
    _repaid(event)


def on_series_matured(event: Event) -> None:
    """Anyone may mature an escrow after its grace."""
    maturity.on_series_matured(event)


def on_default_noticed(event: Event) -> None:
    """A covered relationship was noticed: what is sold on it is given up, its series say so, and transfers that rested
    until then go on."""
    defaulted.on_default_noticed(event)
    write_downs.on_default_noticed(event)
    suspension.on_default_noticed(event)


def on_holder_paid(event: Event) -> None:
    """A wallet took out what its units had earned."""
    payload = event.payload
    tranche = Tranche.objects.filter(series__escrow_id=payload["escrow_id"], seniority=payload["tranche"]).first()
    if tranche is None:
        return
    wallet = Wallet.objects.filter(address__iexact=payload["holder"]).first()
    HolderClaim.objects.get_or_create(
        transaction_hash=payload["transaction_hash"],
        log_index=payload["log_index"],
        defaults={
            "tranche": tranche,
            "address": payload["holder"],
            "party_id": wallet.party_id if wallet else None,
            "amount_base_units": int(payload["amount_base_units"]),
        },
    )


def _repaid(event: Event) -> None:
    found = Redemption.objects.filter(movement_id=event.payload["instruction_id"]).select_related("slice").first()
    if found is None:
        return
    lock_whole(found.slice.series_id)
    redemption = Redemption.objects.select_related("slice").get(id=found.id)
    if redemption.state != Redemption.State.MOVING:
        return
    redemptions.finish(redemption)
    write_downs.bring_to_loss(slice_id=redemption.slice_id)
    maturity.on_part_repaid(redemption)
