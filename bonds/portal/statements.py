"""A holder's statements: every class it held in a span of days, from the rows of what happened, as a page and as CSV.

Units follow the chain's final transfers; principal follows what was written down, written up and repaid; cash is what
the coupons' rows and the escrow's own payments say. The CSV has one line an event, exact, and judges none of them.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bonds.models import CouponPayment, HolderClaim, Holding, NoteTransfer, Redemption, RollForward, SliceAct, Tranche
from bonds.servicing.account import Account, Happened, Kind, account
from intermediary import access, clock
from intermediary.models import Party
from intermediary.money import from_base_units

DAY = timedelta(days=1)
SPAN_MAX = timedelta(days=3 * 366)  # the life of a series; longer ones are two statements
COLUMNS = (
    "time_utc", "series", "class", "isin", "event", "units_change", "units_after", "principal_change",
    "principal_after", "cash", "currency", "note", "reference",
)  # fmt: skip


@dataclass(frozen=True)
class ClassAccount:
    """One class in the reader's statement."""

    tranche: Tranche
    account: Account


@require_safe
@login_required
def statement(request: HttpRequest) -> HttpResponse:
    """Opening, what happened, closing: one account a class."""
    assert isinstance(request.user, User)
    party = access.party_for(request.user)
    since, until = span(request, party)
    context = {
        "party": party,
        "since": since,
        "until": until - DAY,
        "accounts": accounts_of(party, since, until),
    }
    return render(request, "investors/statements.html", context)


@require_safe
@login_required
def statement_csv(request: HttpRequest) -> HttpResponse:
    """Every line of the span, exact, as CSV."""
    assert isinstance(request.user, User)
    party = access.party_for(request.user)
    since, until = span(request, party)
    answer = HttpResponse(content_type="text/csv")
    name = f"{party.code}-notes-{since:%Y%m%d}-{until - DAY:%Y%m%d}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(answer)
    writer.writerow(COLUMNS)
    for one in accounts_of(party, since, until):
        writer.writerows(_rows(one, since))
    return answer


def accounts_of(party: Party, since: datetime, until: datetime) -> list[ClassAccount]:
    """The account of each class that the party ever held, those without anything in the span left out."""
    rows = Tranche.objects.filter(id__in=_tranches(party)).select_related("series__currency").order_by("symbol")
    found = [ClassAccount(one, account(_happened(party, one), one.original_base_units, since, until)) for one in rows]
    return [one for one in found if one.account.lines or one.account.opening_units]


def span(request: HttpRequest, party: Party) -> tuple[datetime, datetime]:
    """Midnight of the first day to midnight after the last, UTC; from the first issue until today by default."""
    today = clock.now().date()
    first = Tranche.objects.filter(id__in=_tranches(party)).order_by("series__issued_at").first()
    issued = first.series.issued_at.date() if first and first.series.issued_at else today
    start = _date(request.GET.get("from")) or issued
    end = max(_date(request.GET.get("to")) or today, start)
    since = datetime(start.year, start.month, start.day, tzinfo=UTC)
    return since, min(datetime(end.year, end.month, end.day, tzinfo=UTC) + DAY, since + SPAN_MAX)


def _rows(one: ClassAccount, since: datetime) -> Iterable[list[object]]:
    series, decimals = one.tranche.series, one.tranche.series.currency.decimals

    def exact(amount: int) -> str:
        return f"{from_base_units(amount, decimals):f}"

    named = [series.code, one.tranche.symbol, one.tranche.isin]
    opening = (one.account.opening_units, one.account.opening_principal)
    yield [since.isoformat(), *named, "OPENING", exact(0), exact(opening[0]), exact(0), exact(opening[1]), exact(0),
           series.currency_id, "", ""]  # fmt: skip
    for line in one.account.lines:
        amounts = (line.units, line.units_after, line.principal, line.principal_after, line.cash)
        at = line.at.astimezone(UTC).isoformat()
        yield [at, *named, line.kind.value, *map(exact, amounts), series.currency_id, line.note, line.reference]


def _tranches(party: Party) -> set[UUID]:
    held = set(Holding.objects.filter(party=party).values_list("tranche_id", flat=True))
    for side in ("sender_party", "receiver_party"):
        held |= set(NoteTransfer.objects.filter(**{side: party}).values_list("tranche_id", flat=True))
    return held


def _happened(party: Party, tranche: Tranche) -> list[Happened]:
    """Everything that ever happened to the party in one class; of one moment, units first."""
    return [*_units(party, tranche), *_principal(tranche), *_cash(party, tranche)]


def _units(party: Party, tranche: Tranche) -> list[Happened]:
    """What the wallets received and sent, at the time of its block: acts on the class are dated so too, and both are
    taken in the chain's order. What the wallets hold beyond that they hold from the issue."""
    found: list[Happened] = []
    moved = 0
    rows = NoteTransfer.objects.filter(tranche=tranche).exclude(standing=NoteTransfer.Standing.ISSUED)
    for row in rows.order_by("block_number", "log_index"):
        reference = f"{row.transaction_hash}:{row.log_index}"
        if row.receiver_party_id == party.id and row.standing == NoteTransfer.Standing.HELD:
            found.append(Happened(row.happened_at, Kind.RECEIVED, row.units, note=row.sender, reference=reference))
            moved += row.units
        if row.sender_party_id == party.id:
            found.append(Happened(row.happened_at, Kind.SENT, -row.units, note=row.receiver, reference=reference))
            moved -= row.units
    held = sum(Holding.objects.filter(tranche=tranche, party=party).values_list("units", flat=True))
    issued_at = tranche.series.issued_at
    if held - moved and issued_at is not None:
        found.insert(0, Happened(issued_at, Kind.ISSUED, held - moved, reference=tranche.series.code))
    return found


def _principal(tranche: Tranche) -> list[Happened]:
    """What changed the principal of the whole class."""
    found = []
    acts = SliceAct.objects.filter(slice__series_id=tranche.series_id, state=SliceAct.State.DONE)
    for act in acts.select_related("slice").order_by("done_at", "id"):
        assert act.done_at is not None
        amount, down = int(act.by_tranche.get(str(tranche.id), "0")), act.kind == SliceAct.Kind.WRITE_DOWN
        kind = Kind.WRITTEN_DOWN if down else Kind.WRITTEN_UP
        change = -amount if down else amount
        found.append(
            Happened(act.done_at, kind, outstanding=change, note=act.slice.relationship, reference=act.evidence)
        )
    paid = Redemption.objects.filter(part__tranche=tranche, state=Redemption.State.DONE).select_related("slice")
    for one in paid.order_by("done_at", "id"):
        assert one.done_at is not None
        note = f"{one.get_reason_display()}, {one.slice.relationship}"
        found.append(
            Happened(
                one.done_at, Kind.REDEEMED, outstanding=-one.amount_base_units, note=note, reference=str(one.id)
            )
        )  # fmt: skip
    return found


def _cash(party: Party, tranche: Tranche) -> list[Happened]:
    """Coupons that became the party's, what the escrow paid out to its wallets, and what was rolled of it."""
    found = []
    coupons: dict[UUID, list[CouponPayment]] = defaultdict(list)
    for payment in CouponPayment.objects.filter(run__tranche=tranche, party=party).select_related("run"):
        coupons[payment.run_id].append(payment)
    for run_id, payments in coupons.items():
        run, cash = payments[0].run, sum(one.amount_base_units for one in payments)
        if run.paid_at is not None:
            note = f"coupon {run.number}, {run.accrual_start:%Y-%m-%d} to {run.accrual_end:%Y-%m-%d}"
            found.append(Happened(run.paid_at, Kind.COUPON, cash=cash, note=note, reference=str(run_id)))
    for claim in HolderClaim.objects.filter(tranche=tranche, party=party):
        reference = f"{claim.transaction_hash}:{claim.log_index}"
        found.append(
            Happened(
                claim.at, Kind.PAID_OUT, cash=claim.amount_base_units, note="from the escrow to the wallet",
                reference=reference,
            )
        )  # fmt: skip
    applied = RollForward.objects.filter(tranche=tranche, party=party, state=RollForward.State.APPLIED)
    for one in applied.select_related("into"):
        assert one.applied_at is not None
        note = f"into {one.into.symbol}, at its issue"
        found.append(
            Happened(one.applied_at, Kind.ROLLED, cash=one.rolled_base_units, note=note, reference=str(one.id))
        )
    return found


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
