"""A bond series on chain in one go, as the demonstration does it, which holds every key and knows no delay.

In production two people decide on each of these, and `settlement.acts` carries out the same steps. Investors subscribe
by themselves, cash against notes; the offering closes when every class is sold in full, or not at all. Losses, coupons
and repayments later are instructions of the outbox.
"""

from collections.abc import Sequence
from datetime import datetime

from intermediary.ledger import settlement_asset
from settlement.acts import at_once, series
from settlement.acts.series import SeriesSpec as SeriesSpec
from settlement.acts.series import SeriesTargets as SeriesTargets
from settlement.chain import Chain
from settlement.deployment import address_of
from settlement.signer import Signer, signer_for
from settlement.transactor import Mine, Transactor


def deploy_series(*, chain: Chain, spec: SeriesSpec, mine: Mine | None) -> SeriesTargets:
    """Deploy escrow and notes, add the slices and open the offering. Refuses what the contracts refuse."""
    made = at_once.carry_out(chain, lambda made: series.steps(spec, made), mine)
    return series.record(spec, made)


def set_eligible(*, chain: Chain, accounts: Sequence[str], until: datetime, mine: Mine | None) -> None:
    """Enter these addresses in the register of eligible holders."""
    structurer = Transactor(chain, signer_for("structurer"), mine)
    structurer.call(address_of("Eligibility"), "Eligibility", "set", list(accounts), int(until.timestamp()))
    structurer.wait()


def allot(*, chain: Chain, escrow: str, tranche: int, units_of: dict[str, int], mine: Mine | None) -> None:
    """Say how many units of a class each investor's address may subscribe."""
    structurer = Transactor(chain, signer_for("structurer"), mine)
    structurer.call(escrow, "SeriesEscrow", "allot", tranche, list(units_of), list(units_of.values()))
    structurer.wait()


def subscribe(*, chain: Chain, escrow: str, investor: Signer, tranche: int, units: int, mine: Mine | None) -> None:
    """What an investor's wallet does: approve the cash, then swap it for notes."""
    wallet = Transactor(chain, investor, mine)
    wallet.call(settlement_asset().token_address, "DemoUSDC", "approve", escrow, units)
    wallet.wait()
    wallet.call(escrow, "SeriesEscrow", "subscribe", tranche, units)
    wallet.wait()


def close_offering(*, chain: Chain, escrow: str, mine: Mine | None) -> None:
    """Put the series on risk; the contract refuses (`NotCovered`) while a class is not sold in full."""
    structurer = Transactor(chain, signer_for("structurer"), mine)
    structurer.call(escrow, "SeriesEscrow", "closeOffering")
    structurer.wait()


def pull_offering(*, chain: Chain, escrow: str, mine: Mine | None) -> None:
    """Give the offering up; its subscribers can be refunded from then on."""
    structurer = Transactor(chain, signer_for("structurer"), mine)
    structurer.call(escrow, "SeriesEscrow", "pull")
    structurer.wait()


def refund(*, chain: Chain, escrow: str, tranche: int, holder: str, mine: Mine | None) -> None:
    """Pay a subscriber of a pulled series back: anyone may send it, the cash goes to the holder."""
    structurer = Transactor(chain, signer_for("structurer"), mine)
    structurer.call(escrow, "SeriesEscrow", "refund", tranche, holder)
    structurer.wait()
