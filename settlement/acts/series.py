"""A bond series as steps: its escrow, its classes of notes, its slices, its offering.

Each slice covers one relationship. The house accepts the escrow under the onboarder's delay, last: nothing is sent to
the escrow before a write-up or a coupon.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from intermediary.ledger import settlement_asset
from intermediary.models import Asset, Cell, ChainTarget
from settlement.acts.steps import Made, Step, Steps, at_least, says, wiring
from settlement.deployment import address_of
from settlement.vault_terms import relationship_hash

ESCROW = "make the escrow"
OFFERING, ON_RISK, PULLED = 1, 2, 4  # SeriesLog.Phase


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

    def body(self) -> dict[str, Any]:
        """As JSON without floats, to be decided on."""
        return {
            "code": self.code,
            "subscribe_by": self.subscribe_by.isoformat(),
            "final_maturity": self.final_maturity.isoformat(),
            "challenge_seconds": self.challenge_seconds,
            "expert_seconds": self.expert_seconds,
            "grace_seconds": self.grace_seconds,
            "tranches": [list(one) for one in self.tranches],
            "slices": [[str(cell), [str(amount) for amount in principal]] for cell, principal in self.slices],
        }

    @classmethod
    def from_body(cls, said: Mapping[str, Any]) -> "SeriesSpec":
        """Back from JSON; KeyError, ValueError or TypeError when it is none."""
        return cls(
            code=str(said["code"]),
            subscribe_by=datetime.fromisoformat(said["subscribe_by"]),
            final_maturity=datetime.fromisoformat(said["final_maturity"]),
            challenge_seconds=int(said["challenge_seconds"]),
            expert_seconds=int(said["expert_seconds"]),
            grace_seconds=int(said["grace_seconds"]),
            tranches=tuple((str(name), str(symbol), str(isin)) for name, symbol, isin in said["tranches"]),
            slices=tuple((UUID(cell), tuple(map(int, principal))) for cell, principal in said["slices"]),
        )


@dataclass(frozen=True)
class SeriesTargets:
    """The escrow and the notes, junior first, as targets of the house's cell."""

    escrow: ChainTarget
    notes: tuple[ChainTarget, ...]


def steps(spec: SeriesSpec, made: Made) -> Steps:
    """Escrow and notes with their rights, the slices, the open offering."""
    asset, manager = settlement_asset(), address_of("AccessManager")
    house = address_of("House", asset.code)
    schedule = (
        int(spec.subscribe_by.timestamp()),
        int(spec.final_maturity.timestamp()),
        spec.challenge_seconds,
        spec.expert_seconds,
        spec.grace_seconds,
    )
    yield Step(ESCROW, "admin", "SeriesEscrow", "", "", (asset.token_address, house, schedule, manager))
    escrow = made[ESCROW]
    yield from wiring(manager, escrow, "SeriesEscrow", "the escrow")
    for index, tranche in enumerate(spec.tranches):
        yield from _note(index, tranche, escrow, asset, made)
    yield from _structure(spec, escrow, [made[_note_label(index)] for index in range(len(spec.tranches))])
    yield Step(
        "accept the escrow",
        "structurer",
        "House",
        house,
        "setStructure",
        (escrow, True),
        (says("House", house, "accepted", escrow, wanted=True),),
    )


def _note(index: int, tranche: tuple[str, str, str], escrow: str, asset: Asset, made: Made) -> Steps:
    name, symbol, isin = tranche
    manager = address_of("AccessManager")
    arguments = (name, symbol, isin, asset.decimals, address_of("Eligibility"), escrow, manager)
    yield Step(_note_label(index), "admin", "TrancheNote", "", "", arguments)
    yield from wiring(manager, made[_note_label(index)], "TrancheNote", f"class {index + 1}")


def _note_label(index: int) -> str:
    return f"make class {index + 1}"


def _structure(spec: SeriesSpec, escrow: str, notes: Sequence[str]) -> Steps:
    def step(label: str, function: str, arguments: tuple[Any, ...], view: str, wanted: int) -> Step:
        done = (at_least("SeriesEscrow", escrow, view, wanted=wanted),)
        return Step(label, "structurer", "SeriesEscrow", escrow, function, arguments, done)

    codes = dict(Cell.objects.filter(id__in=[cell for cell, _ in spec.slices]).values_list("id", "code"))
    yield step("name the classes", "setNotes", (list(notes),), "trancheCount", len(notes))
    for index, (cell_id, principal) in enumerate(spec.slices):
        arguments = (relationship_hash(codes[cell_id]), list(principal))
        yield step(f"add slice {index + 1}", "addSlice", arguments, "sliceCount", index + 1)
    yield step("open the offering", "openOffering", (), "phase", OFFERING)


def record(spec: SeriesSpec, made: Made) -> SeriesTargets:
    """The contracts as targets of the house's cell. Harmless when repeated."""
    asset = settlement_asset()
    slices = [{"cell": str(cell_id), "principal_base_units": list(principal)} for cell_id, principal in spec.slices]
    with transaction.atomic():
        cell = Cell.objects.get(kind=Cell.Kind.HOUSE)
        target = _target(ChainTarget.Kind.ESCROW, cell, asset, made[ESCROW], {"series": spec.code, "slices": slices})
        classes = tuple(
            _target(
                ChainTarget.Kind.NOTE, cell, asset, made[_note_label(index)], {"series": spec.code, "tranche": index}
            )
            for index in range(len(spec.tranches))
        )
    return SeriesTargets(target, classes)


def _target(kind: ChainTarget.Kind, cell: Cell, asset: Asset, address: str, creation: dict[str, Any]) -> ChainTarget:
    found, _ = ChainTarget.objects.get_or_create(
        kind=kind, cell=cell, asset=asset, address=address, defaults={"opened": True, "creation": creation}
    )
    return found
