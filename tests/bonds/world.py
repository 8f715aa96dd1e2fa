"""A small real world for tests of bonds: two covered relationships, investors with wallets, a series, a default.

Rows of the intermediary are written as its own commands leave them; what the chain would report is told to the outbox
in the place of the watcher (`settle`), and the book of the escrow is posted as at the finality of a close.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from django.contrib.auth.models import User
from django.db import transaction
from eth_utils.address import to_checksum_address

from bonds.models import Allocation, EligibleWallet, Offering, Order, Series, Slice, Tranche
from bonds.offering import clearing, eligibility, orders, payments, sale, sealing, stages
from bonds.offering import plan as plans
from bonds.offering.book import Step
from bonds.offering.isin import with_check_digit
from bonds.offering.payments import Subscription
from bonds.offering.plan import OfferingPlan
from bonds.offering.terms import ClassTerms, SeriesTerms, SliceTerms, slice_id_of
from bonds.servicing import arrivals, write_downs
from intermediary import clock, events
from intermediary.canonical import canonical_json, sha256_hex
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import (
    AccountKind,
    Cell,
    ChainInstruction,
    ChainTarget,
    DefaultCase,
    Event,
    Layer,
    Party,
    Proposal,
    Wallet,
)
from intermediary.outbox import Place, mark_final
from tests.intermediary import builders
from tests.people import member, person

USD = 10**6
MILLION = 1_000_000 * USD
DOCUMENTS = {"CLASSIFICATION": "1" * 64, "IDENTITY": "2" * 64, "TAX": "3" * 64}
_numbers = count(1)


@dataclass(frozen=True)
class Secret:
    """A sealed bid with what its investor keeps: without it the bid cannot be revealed."""

    user: User
    order: Order
    opening: str
    nonce: str


def address() -> str:
    return str(to_checksum_address(f"0x{next(_numbers):040x}"))


def newcomer(name: str, wallet: str = "") -> User:
    """A person who acts for an investor with one proved wallet, not eligible yet."""
    user = person(name)
    party = Party.objects.create(legal_name=f"Investor {name}", code=name, kind=Party.Kind.INVESTOR, jurisdiction="LU")
    member(user, party)
    Wallet.objects.create(party=party, address=wallet or address(), proof="0x")
    return user


@transaction.atomic
def investor(name: str, wallet: str = "") -> User:
    """A person who acts for an investor whose one wallet may hold notes, by the register on chain too."""
    user = newcomer(name, wallet)
    eligibility.entered(grant_id=granted(user).id, transaction_hash="0x1")
    return user


@transaction.atomic
def granted(user: User, until: datetime | None = None, address: str = "") -> EligibleWallet:
    """Applied for by the investor, approved by two officers, not on chain yet; for a year and its one wallet where
    nothing is said."""
    Cell.objects.get_or_create(code="HOUSE", kind=Cell.Kind.HOUSE)
    address = address or Wallet.objects.get(party=party_of(user)).address
    application = eligibility.apply(user=user, address=address, investor_class="PROFESSIONAL", documents=DOCUMENTS)
    maker, checker = (_officer(name) for name in ("maker", "checker"))
    valid_until = (until or clock.now() + timedelta(days=365)).replace(microsecond=0)
    asked = eligibility.propose(maker=maker, application_id=application.id, valid_until=valid_until, reason="complete")
    return eligibility.approve(checker=checker, proposal_id=asked.id, seen_hash=asked.hash, reason="seen")


def party_of(user: User) -> Party:
    return Party.objects.get(members__user=user)


def covered_cell(code: str, tail_base_units: int = 6 * MILLION, series: str = "BLK-T") -> Cell:
    """A relationship with first loss 1.5m, a tail and senior retention 3m; the tail is not funded yet."""
    return with_layers(builders.client_cell(code), tail_base_units, series)


def with_layers(cell: Cell, tail_base_units: int = 6 * MILLION, series: str = "BLK-T") -> Cell:
    """The layers that an approved credit line leaves behind."""
    first, senior = 3 * MILLION // 2, 3 * MILLION
    edges = (0, first, first + tail_base_units, first + tail_base_units + senior)
    kinds = (Layer.Kind.FIRST_LOSS, Layer.Kind.TAIL, Layer.Kind.SENIOR)
    for kind, attach, detach in zip(kinds, edges, edges[1:], strict=False):
        Layer.objects.create(
            cell=cell,
            kind=kind,
            attach_base_units=attach,
            detach_base_units=detach,
            slice_id=slice_id_of(series, cell.id) if kind == Layer.Kind.TAIL else None,
            funded=kind != Layer.Kind.TAIL,
        )
    return cell


def series_terms(cells: list[Cell], *, classes: int = 1, tail_base_units: int = 6 * MILLION) -> SeriesTerms:
    """A year on these relationships' tails, split evenly into classes."""
    today = clock.now().date()
    share = (tail_base_units // classes,) * classes
    return SeriesTerms(
        code="BLK-T",
        title="Test notes",
        currency="USDC",
        issue_date=today,
        scheduled_maturity=today + timedelta(days=365),
        final_maturity=today + timedelta(days=545),
        collateral_yield_annual=Decimal("0.0363"),
        denomination_base_units=1_000 * USD,
        challenge_seconds=3_600,
        expert_seconds=3_600,
        maturity_grace_seconds=30 * 86_400,
        classes=tuple(
            ClassTerms(f"Class {index}", f"BLKT{index}", with_check_digit(f"XS{index:09d}")) for index in range(classes)
        ),
        slices=tuple(SliceTerms(cell.id, cell.code, 3 * MILLION // 2, share, share) for cell in cells),
    )


def retaining(cells: list[Cell], retained_bps: int, *, classes: int = 1) -> SeriesTerms:
    """Of every class the intermediary keeps this vertical share of every slice; 0 is none."""
    plain = series_terms(cells, classes=classes)
    slices = tuple(
        replace(
            one,
            principals_base_units=tuple(width * (10_000 - retained_bps) // 10_000 for width in one.widths_base_units),
        )
        for one in plain.slices
    )
    return replace(plain, retained_bps=retained_bps, slices=slices)


def announced(terms: SeriesTerms, plan: OfferingPlan | None = None) -> Series:
    """The series with its sale announced: an hour for bids, an hour to reveal, a day to pay."""
    builders.assets()
    Cell.objects.get_or_create(code="HOUSE", kind=Cell.Kind.HOUSE)
    series = stages.structure(actor="desk", terms=terms)
    hour, day = timedelta(hours=1), timedelta(days=1)
    sale.announce(actor="desk", series_id=series.id, plan=plan or plans.plain(terms, clock.now(), hour, day))
    return series


def deployed(terms: SeriesTerms, plan: OfferingPlan | None = None) -> Series:
    """The series with its book open for sealed bids at a guidance of 400 basis points."""
    series = announced(terms, plan)
    sale.guide(actor="desk", series_id=series.id, guidance_bps={one.id: 400 for one in series.tranches.all()})
    sale.advance(clock.now())
    series.refresh_from_db()
    return series


def next_class(cell: Cell | None = None, series: str = "BLK-N", symbol: str = "BLKN0") -> Tranche:
    """The only class of another series, six million on a relationship of its own, whose book is open."""
    cell = cell or covered_cell("R3", series=series)
    named = (ClassTerms("Next", symbol, with_check_digit(f"XS{sum(map(ord, symbol)):09d}")),)
    return only_tranche(deployed(replace(series_terms([cell]), code=series, classes=named)))


@dataclass(frozen=True)
class Kept:
    """An opening with its nonce, as a browser makes it, before its commitment is sent."""

    opening: sealing.Opening
    nonce: str

    @property
    def commitment(self) -> str:
        return self.opening.commitment


def opening_of(user: User, tranche: Tranche, *steps: tuple[int, int], minimum_fill: int = 0) -> Kept:
    """A ladder of (spread in basis points, base units) steps with its secrets."""
    nonce = secrets.token_hex(32)
    opening = sealing.Opening(
        series=tranche.series.code,
        note=tranche.symbol,
        bidder=sealing.bidder_of(party_of(user).id, nonce),
        steps=tuple(Step(spread, amount) for spread, amount in steps),
        minimum_fill_base_units=minimum_fill,
        salt=secrets.token_hex(32),
    )
    return Kept(opening, nonce)


def sealed(user: User, tranche: Tranche, *steps: tuple[int, int], minimum_fill: int = 0) -> Secret:
    """A sealed bid of (spread in basis points, base units) steps, with what its investor keeps."""
    kept = opening_of(user, tranche, *steps, minimum_fill=minimum_fill)
    order = orders.commit(user=user, tranche_id=tranche.id, commitment=kept.commitment)
    return Secret(user, order, kept.opening.text, kept.nonce)


def close(series: Series) -> None:
    """The time for bids ends."""
    sale.advance(Offering.objects.get(series=series).commits_until)


def revealed(*kept: Secret) -> None:
    for one in kept:
        orders.reveal(user=one.user, order_id=one.order.id, opening=one.opening, nonce=one.nonce)


def priced(series: Series, *kept: Secret) -> Offering:
    """Closed, revealed, cleared by the rules; not allocated yet, or pulled."""
    close(series)
    revealed(*kept)
    sale.advance(Offering.objects.get(series=series).reveals_until)
    return Offering.objects.get(series=series)


def allocated(series: Series, *kept: Secret) -> Offering:
    """Cleared and allocated, with contracts to pay into."""
    offering = priced(series, *kept)
    clearing.allocate(actor="desk", series_id=series.id, report_hash=offering.report_hash)
    usdc, _ = builders.assets()
    house = Cell.objects.get(code="HOUSE")

    def stands(kind: ChainTarget.Kind, **creation: object) -> ChainTarget:
        made = {"series": series.code, **creation}
        return ChainTarget.objects.create(
            kind=kind, cell=house, asset=usdc, address=address(), opened=True, creation=made
        )

    escrow = stands(ChainTarget.Kind.ESCROW)
    notes = [stands(ChainTarget.Kind.NOTE, tranche=one.seniority) for one in series.tranches.order_by("seniority")]
    stages.register_contracts(actor="desk", series_id=series.id, escrow=escrow, notes=notes)
    return Offering.objects.get(series=series)


def pay(allocation: Allocation, units: int | None = None) -> None:
    """What the escrow would have logged of a wallet's payment; in full where nothing is said."""
    found = Subscription(
        allocation.order.wallet.address, units or allocation.units, f"0x{next(_numbers):064x}", 0, clock.now()
    )
    payments.paid(tranche_id=allocation.tranche_id, subscription=found)


def pay_all(series: Series) -> None:
    for one in Allocation.objects.filter(tranche__series=series, state=Allocation.State.DUE):
        pay(one)


def book_escrow(series: Series) -> None:
    """What the watcher books when the close of the offering is final."""
    for item in series.slices.all():
        lines = [
            Line(AccountKind.OUTSIDE, "USDC", -item.principal_base_units),
            Line(AccountKind.ESCROW, "USDC", item.principal_base_units),
        ]
        post(entry_id=uuid7(), cell_id=item.cell_id, kind="subscribed", memo="subscribed", lines=lines)


def on_risk(cells: list[Cell], investors: list[User], *, classes: int = 1, terms: SeriesTerms | None = None) -> Series:
    """A series on risk, held by these investors in equal orders; the plain terms where none are given."""
    series = deployed(terms or series_terms(cells, classes=classes))
    bids = [
        sealed(user, tranche, (400 + 25 * number, tranche.original_base_units // len(investors)))
        for tranche in series.tranches.all()
        for number, user in enumerate(investors)
    ]
    allocated(series, *bids)
    pay_all(series)
    book_escrow(series)
    return stages.issue(actor="desk", series_id=series.id)


def _officer(name: str) -> User:
    return User.objects.filter(username=name).first() or person(name, is_staff=True)


def approved(kind: Proposal.Kind, cell: Cell, body: dict[str, object]) -> Proposal:
    """A decision that two officers made about a relationship."""
    maker, checker = (_officer(name) for name in ("maker", "checker"))
    text = canonical_json(body | {"nonce": next(_numbers)})
    proposal = Proposal.objects.create(
        kind=kind,
        cell=cell,
        body=text,
        hash=sha256_hex(text),
        maker=maker,
        reason="test",
        expires_at=clock.now() + timedelta(days=1),
    )
    proposal.state, proposal.checker, proposal.approved_hash = Proposal.State.APPROVED, checker, proposal.hash
    proposal.decided_at, proposal.decision_reason = clock.now(), "seen"
    proposal.save()
    return proposal


def notice(cell: Cell) -> DefaultCase:
    """A default notice, told to bonds."""
    case = DefaultCase.objects.create(
        cell=cell,
        notice=approved(Proposal.Kind.DEFAULT_NOTICE, cell, {}),
        noticed_at=clock.now(),
        cure_by=clock.now(),
        claim_base_units=1,
    )
    write_downs.on_default_noticed(_event(events.DEFAULT_NOTICED, case))
    return case


def determine(case: DefaultCase, net_loss_base_units: int) -> Event:
    """The approved determination of N; the event is returned, not yet delivered."""
    cell = case.cell
    case.determination = approved(Proposal.Kind.LOSS_DETERMINATION, cell, {"net_loss_base_units": net_loss_base_units})
    case.loss_base_units = net_loss_base_units
    for state in (
        DefaultCase.State.ETD_SET,
        DefaultCase.State.REPLACING,
        DefaultCase.State.DETERMINED,
        DefaultCase.State.ALLOCATED,
    ):
        case.state = state
        case.save()
    return _event(events.LOSS_DETERMINED, case)


def recover(case: DefaultCase, amount_base_units: int) -> Event:
    """A recovery received by the house: N falls by its amount."""
    lines = [
        Line(AccountKind.OUTSIDE, "USDC", -amount_base_units),
        Line(AccountKind.RECOVERY, "USDC", amount_base_units),
    ]
    post(entry_id=uuid7(), cell_id=case.cell_id, kind="recovery", memo="recovery", lines=lines)
    case.loss_base_units -= amount_base_units
    case.recoveries_base_units += amount_base_units
    case.save()
    return _event(events.RECOVERY_RECEIVED, case)


def settle(place: Place | None = None) -> int:
    """Every unfinished instruction becomes final, at this place of the chain, and bonds is told; returns how many."""
    waiting = list(ChainInstruction.objects.filter(state=ChainInstruction.State.DRAFT).order_by("id"))
    for instruction in waiting:
        instruction.state = ChainInstruction.State.BATCHED
        instruction.save(update_fields=["state"])
        mark_final(instruction.id, transaction_hash="0x1", place=place)
        told = Event.objects.filter(kind=events.INSTRUCTION_FINAL, payload__instruction_id=str(instruction.id))
        for event in told:  # none of an everyday payment
            arrivals.on_instruction_final(event)
    return len(waiting)


def settle_challenges(after: timedelta = timedelta(hours=2)) -> int:
    """Let every challenge period end, and settle what follows."""
    started = write_downs.due(clock.now() + after)
    settle()
    return started


def outstanding(series: Series) -> dict[str, int]:
    """Outstanding principal by relationship."""
    return {
        item.relationship: sum(item.parts.values_list("outstanding_base_units", flat=True))
        for item in Slice.objects.filter(series=series)
    }


def only_tranche(series: Series) -> Tranche:
    return Tranche.objects.get(series=series)


def _event(kind: str, case: DefaultCase) -> Event:
    return events.emit(kind, cell_id=case.cell_id, case_id=str(case.id))
