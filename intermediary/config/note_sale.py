"""A sale of notes on chain, from its allocation to the end: contracts, allotments, payments, close, or refunds.

`bonds` decides, `settlement` speaks to the chain; here they take turns. `step` does what is next and is safe to repeat
and to cut off anywhere: what was done is read from the chain and from the watcher's final logs, never remembered.

    deploy     the escrow at the size that was sold; nothing can be subscribed after `ends_at`
    allot      each wallet what it was allocated, once a round
    payments   `Subscribed` logs that are final are booked, each once
    revoke     what is unpaid at the end of a round is taken back; when that is final, the round is closed and handed on
    close      once everything is paid; the series is issued when the ledger shows the cash
    pull       an offering that was given up; whoever paid is refunded

Where this process does not hold the structurer's key it only looks: acts of two people (`settlement.acts`) do the rest.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from bonds.models import Allocation, NotePayment, Offering, Series, Tranche
from bonds.offering import payments, stages
from bonds.offering import sale as sale_of_notes
from bonds.offering.payments import Subscription
from bonds.servicing import write_downs
from intermediary import audit, clock
from intermediary.alone import alone_on
from intermediary.config.issuance_spec import chain_spec
from intermediary.config.note_register import holds_the_key
from intermediary.errors import Refusal
from intermediary.models import AuditRecord, ChainTarget
from settlement import chains
from settlement import series as on_chain
from settlement.bindings import decode_event, read
from settlement.chain import Chain, default_chain
from settlement.models import ChainAct, ChainBlock, ChainLog
from settlement.transactor import Mine

log = logging.getLogger(__name__)
ZERO_ADDRESS = "0x" + "0" * 40
OFFERING, PULLED = 1, 4  # SeriesEscrow.Phase: subscriptions are taken; given up, to be refunded
ACTOR = "chain"


@dataclass(frozen=True)
class Sale:
    """One offering with the chain it is sold on. `mine` makes blocks where nobody else does."""

    offering: Offering
    chain: Chain
    mine: Mine | None

    @property
    def series(self) -> Series:
        return self.offering.series

    @property
    def escrow(self) -> str:
        return self.series.escrow_address

    @cached_property
    def tranches(self) -> list[Tranche]:
        """Junior first, as the escrow numbers them."""
        return list(self.series.tranches.order_by("seniority"))

    @property
    def phase(self) -> int:
        """Of the escrow at the latest block."""
        return int(read(self.chain, self.escrow, "SeriesEscrow", "phase"))

    def allotment(self, index: int, wallet: str, block: int | None = None) -> int:
        """Units that a wallet may still subscribe, at the latest block where none is named."""
        at = {} if block is None else {"block": block}
        return int(read(self.chain, self.escrow, "SeriesEscrow", "allotment", index, wallet, **at))


def step_all() -> None:
    """A step of every sale that has something left to do on chain, on the first chain that is configured."""
    waiting = open_sales()
    if not waiting:
        return
    with chains.on(""), closing(default_chain()) as chain:
        for offering in waiting:
            # What is sent is read back from the chain only when it stands there, so one process at a time.
            with alone_on(f"sale of {offering.id}") as alone:
                if alone:
                    _step(chain, offering)


def _step(chain: Chain, offering: Offering) -> None:
    try:
        step(chain, offering)
    except Refusal as refusal:
        log.info("%s: not yet: %s", offering.series.code, refusal)
    except Exception:
        log.exception("%s: a step of its sale failed and will be tried again", offering.series.code)


def open_sales() -> list[Offering]:
    """Allocated ones, and pulled ones whose escrow may still hold cash of subscribers."""
    rows = Offering.objects.select_related("series")
    allocated = list(rows.filter(state=Offering.State.ALLOCATED))
    pulled = rows.filter(state=Offering.State.PULLED).exclude(series__escrow_address="")
    return allocated + [one for one in pulled if _unrefunded(one)]


def step(chain: Chain, offering: Offering, mine: Mine | None = None, now: datetime | None = None) -> None:
    """Do what is next for one offering at `now`, platform time where nothing is said. Refuses with what is missing
    where only others can go on."""
    now = now or clock.now()
    offering.refresh_from_db()
    sale = Sale(offering, chain, mine)
    if offering.state == Offering.State.PULLED:
        _refund(sale)
        return
    if sale.series.escrow_id is None:
        _deploy(sale)
        return
    book_payments(offering)
    if _is_pulled_on_chain(offering):
        with transaction.atomic(durable=True):
            sale_of_notes.pulled_on_chain(series_id=offering.series_id)
        return
    if payments.is_paid(offering.series_id):
        _close(sale)
        return
    if payments.overdue(offering.series_id, now):
        _end_round(sale, now)
        return
    _allot(sale)


def book_payments(offering: Offering) -> int:
    """Book the final subscriptions that are not booked yet, in their order; how many could not be. Each by itself: one
    that is refused (its payer is barred by now), or that not every node shows, is tried again at the next step and
    holds up no other."""
    booked = set(
        NotePayment.objects.filter(tranche__series_id=offering.series_id).values_list("transaction_hash", "log_index")
    )
    escrow = offering.series.escrow_address
    refused = _disputed(escrow, "Subscribed")
    tranches = list(Tranche.objects.filter(series_id=offering.series_id).order_by("seniority"))
    for row in _logs(escrow, "Subscribed"):
        if (row.transaction_hash, row.log_index) in booked:
            continue
        said = _said(row)
        found = Subscription(said["investor"], said["units"], row.transaction_hash, row.log_index, row.block.block_time)
        try:
            with transaction.atomic():
                payments.paid(tranche_id=tranches[said["tranche"]].id, subscription=found)
        except (Refusal, DatabaseError) as because:
            refused += 1
            _tell_unbooked(offering, found, because)
    return refused


def _tell_unbooked(offering: Offering, found: Subscription, because: Exception) -> None:
    """Why a final payment is not booked: in the record once, in the log each time."""
    subject = f"{found.transaction_hash}:{found.log_index}"
    reason = str(because).splitlines()[0][:200]
    log.error("%s: payment %s is not booked: %s", offering.series.code, subject, reason)
    with transaction.atomic():
        if not AuditRecord.objects.filter(action="payment_not_booked", subject=subject).exists():
            audit.record(
                actor=ACTOR, action="payment_not_booked", subject=subject, series=offering.series.code,
                wallet=found.wallet_address, units=found.units, reason=reason,
            )  # fmt: skip


def refuse_sold_out(series_id: UUID) -> None:
    """Refuse to pull what is subscribed in full by the newest block known, booked or not: the escrow may be closed by
    then, and no refund reaches its cash. Harmless for one that is pulled already."""
    offering = Offering.objects.select_related("series").filter(series_id=series_id).first()
    if offering is None or offering.state != Offering.State.ALLOCATED or not offering.series.escrow_address:
        return
    sold = sum(size or 0 for size in offering.classes.values_list("size_base_units", flat=True))
    logs = ChainLog.objects.filter(address=offering.series.escrow_address, name="Subscribed", block__canonical=True)
    if (subscribed := _units(list(logs))) >= sold:
        raise Refusal(
            "paid_for_already",
            "Every class is paid for in full on chain: the series is issued, not pulled.",
            series=offering.series.code,
            paid_base_units=subscribed,
        )


def has_unbookable(offering: Offering) -> bool:
    """Whether a final payment could not be booked, and is not yet: its payer is barred by now."""
    rows = _logs(offering.series.escrow_address, "Subscribed")
    refused = AuditRecord.objects.filter(
        action="payment_not_booked", subject__in=[f"{row.transaction_hash}:{row.log_index}" for row in rows]
    )
    booked = NotePayment.objects.filter(tranche__series_id=offering.series_id)
    known = {f"{hash_}:{index}" for hash_, index in booked.values_list("transaction_hash", "log_index")}
    return any(subject not in known for subject in refused.values_list("subject", flat=True))


def holders_of(offering: Offering) -> list[list[str]]:
    """Of each class, junior first, every address that its units ever went to."""
    return [_receivers(tranche.note_address) for tranche in offering.series.tranches.order_by("seniority")]


def _is_pulled_on_chain(offering: Offering) -> bool:
    """Final, whoever did it: two officers, or anyone once the time to subscribe was over."""
    return any(int(_said(row)["phase"]) == PULLED for row in _logs(offering.series.escrow_address, "PhaseChanged"))


def _deploy(sale: Sale) -> None:
    escrow = ChainTarget.objects.filter(kind=ChainTarget.Kind.ESCROW, creation__series=sale.series.code).first()
    if escrow is None:
        if settings.MODE == "production":
            raise Refusal("not_deployed", "Two officers open the series on chain (acts on chain); then it is paid for.")
        on_chain.deploy_series(chain=sale.chain, spec=chain_spec(sale.offering), mine=sale.mine)
        escrow = ChainTarget.objects.get(kind=ChainTarget.Kind.ESCROW, creation__series=sale.series.code)
    rows = ChainTarget.objects.filter(kind=ChainTarget.Kind.NOTE, creation__series=sale.series.code)
    notes = sorted(rows, key=lambda one: int(one.creation["tranche"]))
    with transaction.atomic(durable=True):
        stages.register_contracts(actor=ACTOR, series_id=sale.series.id, escrow=escrow, notes=notes)


def _allot(sale: Sale) -> None:
    """Allotments of this round that were never given."""
    for index, units_of in ungiven(sale.offering, _given(sale)).items():
        _need_key()
        on_chain.allot(chain=sale.chain, escrow=sale.escrow, tranche=index, units_of=units_of, mine=sale.mine)


Given = Mapping[tuple[int, str], int]  # how often units of a class were allotted to an address in lower case


def ungiven(offering: Offering, given: Given) -> dict[int, dict[str, int]]:
    """Units by wallet and class that are due and were never allotted. The contract's own number falls to zero when a
    wallet pays, so what was given is read from the logs of all allotments."""
    found: dict[int, dict[str, int]] = {}
    for index, tranche in enumerate(offering.series.tranches.order_by("seniority")):
        rows = Allocation.objects.filter(tranche=tranche).select_related("order__wallet").order_by("payment_round")
        times: dict[str, int] = {}
        for one in rows:
            wallet = one.order.wallet.address
            times[wallet] = times.get(wallet, 0) + 1
            if one.state == Allocation.State.DUE and given.get((index, wallet.lower()), 0) < times[wallet]:
                found.setdefault(index, {})[wallet] = one.units - one.paid_units
    return found


def given_by_logs(escrow: str) -> dict[tuple[int, str], int]:
    """How often each wallet was allotted units of each class, by the blocks that the watcher knows. What a node
    disputes counts: a wallet that was allotted its units twice could pay twice."""
    rows = ChainLog.objects.filter(address=escrow, name="Allotted", block__canonical=True)
    return _counted((row.topics, row.data) for row in rows)


def _given(sale: Sale) -> dict[tuple[int, str], int]:
    """The same, the latest block included."""
    return _counted(_allotted_logs(sale))


def _counted(logs: Iterable[tuple[list[str], str]]) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for topics, data in logs:
        event = decode_event(topics, data)
        if event is not None and event.name == "Allotted" and event.arguments["units"]:
            key = (int(event.arguments["tranche"]), str(event.arguments["investor"]).lower())
            found[key] = found.get(key, 0) + 1
    return found


def _allotted_logs(sale: Sale) -> Iterator[tuple[list[str], str]]:
    """The watcher's logs, then what the node knows beyond them."""
    newest = ChainBlock.objects.filter(canonical=True).order_by("-number").first()
    known = newest.number if newest else 0
    for row in ChainLog.objects.filter(address=sale.escrow, name="Allotted", block__canonical=True):
        yield row.topics, row.data
    head, _ = sale.chain.head_and_final()
    if head > known:
        query = {"address": sale.escrow, "fromBlock": hex(known + 1), "toBlock": hex(head)}
        for raw in sale.chain.call("eth_getLogs", query):
            yield raw["topics"], raw["data"]


def _end_round(sale: Sale, now: datetime) -> None:
    """Take back what is unpaid; close the round once that is final and every payment before it is booked. Where a
    wallet was never allotted its units, nobody failed: the round goes on. One node's word is no allotment."""
    if _disputed(sale.escrow, "Allotted"):
        raise Refusal("allotments_disputed", "Not every node shows who was allotted what: nobody has failed yet.")
    if ungiven(sale.offering, _given(sale)):
        with transaction.atomic(durable=True):
            payments.extend_round(series_id=sale.series.id, now=now)
        return
    due = Allocation.objects.filter(tranche__series_id=sale.series.id, state=Allocation.State.DUE)
    final = ChainBlock.objects.filter(canonical=True, finalized=True).order_by("-number").first()
    standing = _logs(sale.escrow, "Allotted")  # final, so the escrow is no younger than the final block
    open_now = bool(ungiven(sale.offering, _counted((row.topics, row.data) for row in standing)))
    for index, tranche in enumerate(sale.tranches):
        wallets = [one.order.wallet.address for one in due.filter(tranche=tranche).select_related("order__wallet")]
        left = [wallet for wallet in wallets if sale.allotment(index, wallet)]
        if left:
            _need_key()
            taken_back = dict.fromkeys(left, 0)
            on_chain.allot(chain=sale.chain, escrow=sale.escrow, tranche=index, units_of=taken_back, mine=sale.mine)
        open_now |= bool(left) or final is None or not standing
        if final is not None and standing:
            open_now |= any(sale.allotment(index, wallet, final.number) for wallet in wallets)
    if open_now:
        return
    with transaction.atomic(durable=True):
        if refused := book_payments(sale.offering):
            raise Refusal("payments_not_booked", "Who paid has not failed: its payment is booked first.", count=refused)
        payments.end_round(series_id=sale.series.id, now=now)


def _close(sale: Sale) -> None:
    escrow = sale.series.escrow
    assert escrow is not None, "notes are paid for in their escrow"
    if escrow.creation.get("on_risk"):
        with transaction.atomic(durable=True):
            stages.issue(actor=ACTOR, series_id=sale.series.id)
            write_downs.catch_up(sale.series.id)
    elif sale.phase == OFFERING and not _is_being_closed(sale):
        stages.refuse_close(sale.series.id)
        _need_key()
        on_chain.close_offering(chain=sale.chain, escrow=sale.escrow, mine=sale.mine)


def _is_being_closed(sale: Sale) -> bool:
    """Whether two officers decided to close it: the call may be on its way, and asks the books itself before."""
    acts = ChainAct.objects.filter(kind=ChainAct.Kind.CLOSE, state__in=ChainAct.UNFINISHED)
    return any(f'"escrow":"{sale.escrow}"' in act.body for act in acts)


def _refund(sale: Sale) -> None:
    if sale.phase == OFFERING:
        _need_key()
        on_chain.pull_offering(chain=sale.chain, escrow=sale.escrow, mine=sale.mine)
    for index, tranche in enumerate(sale.tranches):
        for holder in _receivers(tranche.note_address):
            if holds_the_key() and int(read(sale.chain, tranche.note_address, "TrancheNote", "balanceOf", holder)):
                on_chain.refund(chain=sale.chain, escrow=sale.escrow, tranche=index, holder=holder, mine=sale.mine)


def _unrefunded(offering: Offering) -> bool:
    """Whether a pulled series still owes subscribers, by final logs; notes may have changed hands before the pull."""
    escrow = offering.series.escrow_address
    return _units(_logs(escrow, "Subscribed")) != _units(_logs(escrow, "Refunded"))


def _units(rows: Sequence[ChainLog]) -> int:
    return sum(int(_said(row)["units"]) for row in rows)


def _receivers(note: str) -> list[str]:
    """Every address that a class' units ever went to."""
    went_to = {str(_said(row)["to"]) for row in _logs(note, "Transfer")}
    return sorted(went_to - {ZERO_ADDRESS})


def _said(row: ChainLog) -> Mapping[str, Any]:
    event = decode_event(row.topics, row.data)
    assert event is not None, "the watcher named it by its topics"
    return event.arguments


def _logs(escrow: str, name: str) -> list[ChainLog]:
    """Final logs of the escrow that no node disputes, in the chain's order."""
    rows = _final(escrow, name).exclude(refusal__startswith=ChainLog.DISPUTED)
    return list(rows.select_related("block").order_by("block__number", "log_index"))


def _disputed(escrow: str, name: str) -> int:
    """How many final ones some node does not show."""
    return _final(escrow, name).filter(refusal__startswith=ChainLog.DISPUTED).count()


def _final(contract: str, name: str) -> QuerySet[ChainLog]:
    return ChainLog.objects.filter(address=contract, name=name, block__canonical=True, block__finalized=True)


def _need_key() -> None:
    if not holds_the_key():
        raise Refusal("structurer_elsewhere", "The structurer's key is held elsewhere: acts on chain go on from here.")
