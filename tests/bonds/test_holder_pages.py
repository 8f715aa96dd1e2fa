"""Pages of those who hold notes, under the web's own database role: transfers, statements, the escrow's account."""

import csv
import re
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from bonds.models import CouponRun, EscrowReading, HolderNotice, Holding, NoteMark, Order, Series
from bonds.portal.statements import DAY
from bonds.servicing import transfers, write_downs
from intermediary import clock
from intermediary.config import requests as config_requests
from intermediary.models import Cell
from tests.bonds import world
from tests.bonds.test_portal import cells, investors, mark, page, series, signed_in, web
from tests.bonds.test_transfers import moved
from tests.bonds.world import MILLION
from tests.conftest import RoleSwitch

__all__ = ["cells", "investors", "series", "web"]


def looked_at(series: Series, block: int, balance: int) -> EscrowReading:
    """What the watcher keeps of an escrow that owes principal of twelve million and half a million beside it."""
    face = str(12 * MILLION)
    note = {"principal": face, "supply": face, "written_down": "0", "redeemed": "0"}
    with transaction.atomic():
        return EscrowReading.objects.create(
            series=series,
            block_number=block,
            block_hash=f"0x{block:064x}",
            block_time=clock.now(),
            balance_base_units=balance,
            principal_base_units=12 * MILLION,
            owed_base_units=MILLION // 2,
            notes={str(series.tranches.get().id): note},
        )


def test_transfer_is_reviewed_before_the_wallet_is_asked(
    series: Series, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    mark(series)
    holding = Holding.objects.get(party__code="a")
    receiver = Holding.objects.get(party__code="b").wallet.address
    note = series.tranches.get().note_address
    client = signed_in(investors[0], as_role)
    where = reverse("investor:transfers")
    with as_role("web"):
        assert "Nothing was transferred yet" in page(client, "transfers")
        assert client.post(where, {"holding": "x", "amount": "0", "receiver": "b"}).status_code == 422
        body = {"holding": str(holding.id), "amount": "1,000,000", "receiver": receiver}
        passed = client.post(where, body)
        refused = client.post(where, body | {"amount": "4,000,001"})
        elsewhere = client.post(where, body | {"receiver": "0x" + "9" * 40})
    config_requests.run_pending()
    with as_role("web"):
        shown = str(client.get(passed.headers["Location"]).content.decode())
        assert "3,000,000.00" in shown, "units after"
        assert "995,000.00" in shown, "their value at the live price"
        assert note in shown
        assert "fewer units" in str(client.get(refused.headers["Location"]).content.decode())
        assert "no eligible holder" in str(client.get(elsewhere.headers["Location"]).content.decode())
    other = signed_in(investors[1], as_role)
    with as_role("web"):
        assert other.get(passed.headers["Location"]).status_code == 404


def test_statement_says_what_happened_and_its_csv_is_exact(
    series: Series, cells: list[Cell], investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    with transaction.atomic():
        case = world.notice(cells[0])
        write_downs.on_loss_determined(world.determine(case, 4 * MILLION))
        world.settle()
        world.settle_challenges()
        a, b = (Holding.objects.get(party__code=code).wallet.address for code in "ab")
        transfers.on_note_transferred(moved(series, a, b, MILLION))
    client, other = signed_in(investors[0], as_role), signed_in(investors[1], as_role)
    with as_role("web"):
        shown = page(client, "statements")
        for words in ("Opening", "Issued", "Written down", "Sent", "Closing", "R1", "3,000,000.00"):
            assert words in shown, words
        assert "Received" in page(other, "statements")
        assert "<td>Sent</td>" in page(client, "transfers")
        assert "<td>Received</td>" in page(other, "transfers")
        text = str(client.get(reverse("investor:statement_csv")).content.decode())
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["event"] for row in rows] == ["OPENING", "ISSUED", "WRITTEN_DOWN", "SENT"]
    assert Decimal(rows[1]["principal_change"]) == 4_000_000
    assert rows[2]["note"] == "R1"
    down = Decimal(rows[2]["principal_change"])
    assert abs(down + Decimal(2_500_000) / 3) < Decimal("0.000002"), "a third of 2.5 million, rounded down"
    assert Decimal(rows[3]["units_after"]) == 3_000_000
    changes = sum(Decimal(row["principal_change"]) for row in rows)
    assert changes == Decimal(rows[3]["principal_after"])


def test_statement_of_nothing(investors: list[User], as_role: RoleSwitch, web: None) -> None:
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        assert "Nothing in this span" in page(client, "statements")
        assert client.get(reverse("investor:statement_csv")).content.decode().count("\n") == 1


def test_collateral_account_shows_balance_against_what_is_owed(series: Series, as_role: RoleSwitch, web: None) -> None:
    with as_role("web"):
        assert "was not looked at yet" in page(Client(), "collateral", series.id)
    looked_at(series, 77, 11 * MILLION)
    with as_role("web"):
        shown = page(Client(), "collateral", series.id)
    assert "Short by" in shown
    assert "1,500,000.00" in shown
    assert "0x70a08231" in shown, "balanceOf(address)"
    assert "0x4d" in shown, "block 77"


def test_pay_page_names_the_calls_and_what_is_late_or_not_due(
    cells: list[Cell], investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    with transaction.atomic():
        made = world.deployed(world.series_terms(cells))
        note = world.only_tranche(made)
        kept = [world.sealed(user, note, (400, 4 * MILLION)) for user in investors]
        world.allocated(made, *kept)
        made.refresh_from_db()
        mine = Order.objects.select_related("wallet").get(party__code="a")
    client, other = signed_in(investors[0], as_role), signed_in(investors[1], as_role)
    with as_role("web"):
        shown = page(client, "pay", mine.id)
        assert "4,000,000.00" in shown
        assert f"subscribe(0, {4 * MILLION})" in shown
        assert made.escrow_address in shown
        assert mine.wallet.address in shown
        assert other.get(reverse("investor:pay", args=[mine.id])).status_code == 404
    with transaction.atomic():
        world.pay_all(made)
    with as_role("web"):
        assert "Nothing is to be paid" in page(client, "pay", mine.id)


def test_holdings_show_every_figure_of_the_last_mark_exactly(
    series: Series, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        shown = page(client, "holdings")
        assert "not yet" in shown, "no mark, no figures"
        value = shown.split("<dt>Value by the model</dt>")[1].split("</dd>")[0]
        assert "principal in 1 class that has no price" in value, "a sum says what is not in it"
    mark(series, dirty_price=99.6, no_loss_yield=0.0912345, risk_neutral_yield=0.0371234, spread_multiple=6.25)
    with as_role("web"):
        shown = page(client, "holdings")
    assert "no price" not in shown.split("<dt>Value by the model</dt>")[1].split("</dd>")[0]
    table = shown[shown.index('id="prices"') :].split("</table>")[0]
    exact = [float(value) for value in re.findall(r'<data class="num" value="([^"]*)"', table)]
    assert exact == [99.5, 0.1, 99.6, 9.12345, 8.12345, 3.71234, 6.25, 1.2, 3.0, 0.1]
    marked_at = NoteMark.objects.select_related("valuation").get().valuation.as_of
    assert marked_at.isoformat() in table


def test_holdings_say_coupons_to_come_and_notices(
    series: Series, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    party = world.party_of(investors[0])
    with transaction.atomic():
        day = series.issue_date
        dates = {
            "accrual_start": day,
            "accrual_end": day + 90 * DAY,
            "record_date": day,
            "payment_date": day + 92 * DAY,
        }
        CouponRun.objects.create(tranche=series.tranches.get(), number=1, **dates)
        HolderNotice.objects.create(series=series, party=party, kind="COUPON", text="A coupon was paid")
    client = signed_in(investors[0], as_role)
    with as_role("web"):
        shown = page(client, "holdings")
    assert "A coupon was paid" in shown
    assert "accrued so far" in shown
    assert "In the escrow for you" in shown
