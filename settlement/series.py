"""A bond series on chain: its escrow, its classes of notes, its offering.

Each slice covers one relationship. Investors subscribe by themselves, cash against notes; the offering closes when
every class is sold in full, or not at all. Losses, coupons and repayments later are instructions of the outbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from intermediary.ledger import settlement_asset
from intermediary.models import Cell, ChainTarget
from settlement.chain import Chain
from settlement.deployment import address_of, known_addresses, wire
from settlement.registration import relationship_hash
from settlement.signer import Signer, signer_for
from settlement.transactor import Mine, Transactor


@dataclass(frozen=True)
class SeriesSpec:
    """What is fixed for the life of a series. Amounts are settlement base units; one unit of a note is one of face.

    `tranches` junior first, as (name, symbol, isin); `slices` as (cell, principal of each tranche).
    """

    code: str
    subscribe_by: datetime
    final_maturity: datetime
    challenge_seconds: int
    expert_seconds: int
    grace_seconds: int
    tranches: tuple[tuple[str, str, str], ...]
    slices: tuple[tuple[UUID, tuple[int, ...]], ...]


@dataclass(frozen=True)
class SeriesTargets:
    """The escrow and the notes, junior first, as targets of the house's cell."""

    escrow: ChainTarget
    notes: tuple[ChainTarget, ...]


def deploy_series(*, chain: Chain, spec: SeriesSpec, mine: Mine | None) -> SeriesTargets:
    """Deploy escrow and notes, add the slices and open the offering. Refuses what the contracts refuse."""
    asset = settlement_asset()
    house, manager = address_of("House", asset.code), address_of("AccessManager")
    admin = Transactor(chain, signer_for("admin"), mine)
    schedule = (
        int(spec.subscribe_by.timestamp()),
        int(spec.final_maturity.timestamp()),
        spec.challenge_seconds,
        spec.expert_seconds,
        spec.grace_seconds,
    )
    escrow = admin.deploy("SeriesEscrow", asset.token_address, house, schedule, manager)
    wire(admin, known_addresses(), escrow, "SeriesEscrow")
    notes = [_deploy_note(admin, tranche, escrow, asset.decimals) for tranche in spec.tranches]
    _structure(chain, mine, spec, escrow, notes, house)
    return _record(spec, escrow, notes)


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


def _deploy_note(admin: Transactor, tranche: tuple[str, str, str], escrow: str, decimals: int) -> str:
    name, symbol, isin = tranche
    arguments = (name, symbol, isin, decimals, address_of("Eligibility"), escrow, address_of("AccessManager"))
    note = admin.deploy("TrancheNote", *arguments)
    wire(admin, known_addresses(), note, "TrancheNote")
    return note


def _structure(
    chain: Chain, mine: Mine | None, spec: SeriesSpec, escrow: str, notes: Sequence[str], house: str
) -> None:
    structurer = Transactor(chain, signer_for("structurer"), mine)
    codes = dict(Cell.objects.filter(id__in=[cell for cell, _ in spec.slices]).values_list("id", "code"))
    structurer.call(escrow, "SeriesEscrow", "setNotes", list(notes))
    structurer.wait()
    for cell_id, principal in spec.slices:
        structurer.call(escrow, "SeriesEscrow", "addSlice", relationship_hash(codes[cell_id]), list(principal))
    structurer.wait()
    structurer.call(escrow, "SeriesEscrow", "openOffering")
    structurer.call(house, "House", "setStructure", escrow, True)
    structurer.wait()


def _record(spec: SeriesSpec, escrow: str, notes: Sequence[str]) -> SeriesTargets:
    asset = settlement_asset()
    slices = [{"cell": str(cell_id), "principal_base_units": list(principal)} for cell_id, principal in spec.slices]
    with transaction.atomic():
        cell = Cell.objects.get(kind=Cell.Kind.HOUSE)
        target = ChainTarget.objects.create(
            kind=ChainTarget.Kind.ESCROW,
            cell=cell,
            asset=asset,
            address=escrow,
            opened=True,
            creation={"series": spec.code, "slices": slices},
        )
        classes = tuple(
            ChainTarget.objects.create(
                kind=ChainTarget.Kind.NOTE,
                cell=cell,
                asset=asset,
                address=address,
                opened=True,
                creation={"series": spec.code, "tranche": index},
            )
            for index, address in enumerate(notes)
        )
    return SeriesTargets(target, classes)
