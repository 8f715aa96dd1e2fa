"""How long a coupon of a class with 10,000 holders takes off chain: its figures, its movement, every holder's row.

On chain a coupon costs the same for any number of holders (docs/contracts.md); here every holder gets a row and a
notice. Measured from the payment's first query to the commit of the last row; finality is told in the watcher's place.
"""

import time
from collections.abc import Callable
from datetime import date, timedelta

from django.db import transaction

from bonds.models import CouponPayment, CouponRun, Holding, Series, Tranche
from bonds.servicing import arrivals, coupons
from intermediary import clock, events, outbox
from intermediary.config.benches import Figure, bonds_world
from intermediary.config.scratch import migrated_database, scratch_services
from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Asset, Cell, ChainInstruction, ChainTarget, Event, Party, Wallet
from intermediary.models.bulk import insert_all

HOLDERS, DAYS = 10_000, 91
USD = 10**6


def figures(say: Callable[[str], object]) -> dict[str, Figure]:
    """`coupon_10k_s`."""
    say(f"a coupon of {HOLDERS} holders")
    with scratch_services() as running, migrated_database(running, "bench_coupon"):
        run = _world()
        started, used = time.perf_counter(), time.process_time()
        _pay(run)
        took, used = time.perf_counter() - started, time.process_time() - used
        assert CouponPayment.objects.filter(run=run).count() == HOLDERS, "every holder has its row"
    say(f"coupon: {took:.2f} s, {used:.2f} s of this process' processor")
    of = f"{HOLDERS} holders, from the first query to the last holder's committed row, database included"
    return {"coupon_10k_s": Figure(took, "s", of)}


def _pay(run: CouponRun) -> None:
    with transaction.atomic(durable=True):
        coupons.pay(run.id)
    with transaction.atomic(durable=True):
        for instruction in ChainInstruction.objects.filter(kind=ChainInstruction.Kind.COUPON):
            instruction.state = ChainInstruction.State.BATCHED
            instruction.save(update_fields=["state"])
            outbox.mark_final(instruction.id, transaction_hash="0x1")
    for event in Event.objects.filter(kind=events.INSTRUCTION_FINAL):
        with transaction.atomic(durable=True):
            arrivals.on_instruction_final(event)


@transaction.atomic
def _world() -> CouponRun:
    """One relationship, one class on it, its first coupon due today, and as many holders as are measured."""
    usdc = Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    house = Cell.objects.create(code="HOUSE", kind=Cell.Kind.HOUSE)
    covered = Party.objects.create(legal_name="Covered", code="P-1", kind=Party.Kind.FUND, jurisdiction="KY")
    cell = Cell.objects.create(code="R1", kind=Cell.Kind.CLIENT, party=covered)
    today = clock.now().date()
    series = bonds_world.put_on_risk([[cell]], 1, today - timedelta(days=DAYS))[0]
    escrow = ChainTarget.objects.create(
        kind=ChainTarget.Kind.ESCROW, cell=house, asset=usdc, address=f"0x{1:040x}", opened=True
    )
    Series.objects.filter(id=series.id).update(escrow=escrow, escrow_address=escrow.address)
    lines = [Line(AccountKind.OUTSIDE, "USDC", -USD * 10**6), Line(AccountKind.FLOAT, "USDC", USD * 10**6)]
    post(entry_id=uuid7(), cell_id=cell.id, kind="capital", memo="float", lines=lines)
    tranche = Tranche.objects.get(series=series)
    _holders(tranche)
    return _run(tranche, today)


def _holders(tranche: Tranche) -> None:
    kind = Party.Kind.INVESTOR
    parties = [
        Party(legal_name=f"Holder {number}", code=f"H{number}", kind=kind, jurisdiction="LU")
        for number in range(HOLDERS)
    ]
    wallets = [Wallet(party=party, address=f"0x{number + 2:040x}", proof="0x") for number, party in enumerate(parties)]
    units = tranche.original_base_units // HOLDERS
    insert_all(parties)
    insert_all(wallets)
    insert_all(
        [
            Holding(tranche=tranche, party=party, wallet=wallet, units=units)
            for party, wallet in zip(parties, wallets, strict=True)
        ]
    )


def _run(tranche: Tranche, today: date) -> CouponRun:
    return CouponRun.objects.create(
        tranche=tranche,
        number=1,
        accrual_start=today - timedelta(days=DAYS),
        accrual_end=today,
        record_date=today,
        payment_date=today,
    )
