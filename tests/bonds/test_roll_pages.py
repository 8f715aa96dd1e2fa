"""Rolling forward as a holder does it on the pages, under the web's own database role."""

import csv
import json
import re

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from bonds.models import Allocation, Holding, Order, Redemption, RollForward, Series, SlicePart, Tranche
from bonds.offering import stages
from bonds.servicing import redemptions
from intermediary.config import requests as carried_out
from tests.bonds import world
from tests.bonds.test_portal import cells, investors, page, series, signed_in, web
from tests.bonds.world import MILLION, Secret
from tests.conftest import RoleSwitch

__all__ = ["cells", "investors", "series", "web"]


@pytest.fixture
def into(series: Series) -> Tranche:
    """The only class of the next series, whose book is open: six million."""
    with transaction.atomic():
        return world.next_class()


def election_of(user: User, into: Tranche, client: Client, as_role: RoleSwitch, bps: str = "400") -> RollForward:
    """Elected on the page, carried out by a worker."""
    held = Holding.objects.get(party=world.party_of(user))
    with as_role("web"):
        body = {"holding": str(held.id), "into": str(into.id), "minimum_spread_bps": bps}
        assert client.post(reverse("investor:rolls"), body).status_code == 302
    carried_out.run_pending()
    return RollForward.objects.get(party=held.party)


def repay(series: Series, amount: int) -> None:
    with transaction.atomic():
        part = SlicePart.objects.filter(slice__series=series).order_by("id")[0]
        redemptions.record_done(part, amount, Redemption.Reason.ON_CHAIN)


def sealed_from(client: Client, user: User, election: RollForward, as_role: RoleSwitch, units: int) -> Secret:
    kept = world.opening_of(user, election.into, (400, units))
    with as_role("web"):
        body = {"commitment": kept.commitment, "roll_forward": str(election.id)}
        assert client.post(reverse("investor:bid", args=[election.into_id]), body).status_code == 302
    carried_out.run_pending()
    return Secret(user, Order.objects.get(commitment=kept.commitment), kept.opening.text, kept.nonce)


def issued(into: Tranche) -> None:
    with transaction.atomic():
        world.pay_all(into.series)
        world.book_escrow(into.series)
        stages.issue(actor="desk", series_id=into.series_id)


def test_with_nothing_held_or_no_book_the_page_says_so(
    series: Series, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    with transaction.atomic():
        stranger = world.investor("z")
    client, other = signed_in(stranger, as_role), signed_in(investors[0], as_role)
    with as_role("web"):
        shown = page(client, "rolls")
        assert "You hold nothing that is still to be repaid" in shown
        assert "No election yet" in shown
        shown = page(other, "rolls")
    assert "No book is open" in shown
    assert "nothing noticed" in shown
    assert "4,000,000.00" in shown


def test_elected_bid_paid_and_rolled(
    series: Series, into: Tranche, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    """Three of the four million are repaid and paid in; the rest of the bid is new money."""
    client = signed_in(investors[0], as_role)
    held = Holding.objects.get(party__code="a")
    with as_role("web"):
        assert f"?holding={held.id}" in page(client, "holdings")
        shown = client.get(f"{reverse('investor:rolls')}?holding={held.id}").content.decode()
        assert "guidance 400 bp" in shown
    election = election_of(investors[0], into, client, as_role)
    repay(series, 3 * MILLION)
    repay(series, 3 * MILLION)
    with as_role("web"):
        shown = page(client, "rolls")
        assert "2,000,000.00" in shown, "a third of six is repaid"
        assert "is to roll into BLKN0" in page(client, "holdings")
        form = client.get(f"{reverse('investor:bid', args=[into.id])}?roll={election.id}").content.decode()
    assert 'value="4,000,000"' in form, "what was repaid and what is to come"
    assert re.search(r'data-spread [^>]*value="400"', form)
    assert "Roll BLKT0 of" in form
    kept = sealed_from(client, investors[0], election, as_role, 4 * MILLION)
    with as_role("web"):
        assert "rolls BLKT0" in page(client, "offerings")
        assert "bid sealed" in page(client, "rolls")
    with transaction.atomic():
        other = world.sealed(investors[1], into, (400, 2 * MILLION))
        world.allocated(into.series, kept, other)
    with as_role("web"):
        shown = page(client, "pay", kept.order.id)
        asked = json.loads(re.search(r'<script id="asked"[^>]*>(.*?)</script>', shown).group(1))  # type: ignore[union-attr]
        assert "New money" in shown
        assert "Rolled from BLKT0" in shown
    (claim,) = asked["claims"]
    assert (claim["escrow"], claim["note"]) == (series.escrow_address, series.tranches.get().note_address)
    assert held.wallet.address[2:].lower() in claim["claim"]
    issued(into)
    election.refresh_from_db()
    assert (election.state, election.rolled_base_units) == ("APPLIED", 2 * MILLION)
    with as_role("web"):
        assert "Applied" in page(client, "rolls")
        assert "Rolled forward" in page(client, "statements")
        assert "was rolled into BLKN0" in page(client, "holdings")
        text = client.get(reverse("investor:statement_csv")).content.decode()
    (line,) = [row for row in csv.DictReader(text.splitlines()) if row["event"] == "ROLLED_FORWARD"]
    assert (line["class"], line["cash"], line["note"]) == ("BLKT0", "2000000.000000", "into BLKN0, at its issue")


def test_new_money_is_what_repayment_does_not_cover(
    series: Series, into: Tranche, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    client = signed_in(investors[0], as_role)
    election = election_of(investors[0], into, client, as_role)
    repay(series, 3 * MILLION)
    kept = sealed_from(client, investors[0], election, as_role, 6 * MILLION)
    with transaction.atomic():
        world.allocated(into.series, kept)
    with as_role("web"):
        shown = page(client, "pay", kept.order.id)
    facts = dict(re.findall(r"<dt>(?:<b>)?([\w ]+)(?:</b>)?</dt><dd>.*?>([\d,]+\.\d\d)", shown))
    assert (facts["Due now"], facts["Rolls"], facts["New money"]) == ("6,000,000.00", "1,000,000.00", "5,000,000.00")


def test_refusals_are_named_with_their_numbers_and_nobody_sees_another_s(
    series: Series, into: Tranche, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    client, other = signed_in(investors[0], as_role), signed_in(investors[1], as_role)
    held = Holding.objects.get(party__code="a")
    where = reverse("investor:rolls")
    with as_role("web"):
        body = {"holding": str(held.id), "into": str(into.id), "minimum_spread_bps": "10001"}
        assert client.post(where, body).status_code == 422
        assert client.post(where, body | {"minimum_spread_bps": "x"}).status_code == 422
        assert other.post(where, body | {"minimum_spread_bps": "0"}).status_code == 422, "not its holding"
    election = election_of(investors[0], into, client, as_role)
    election_of(investors[0], into, client, as_role, bps="500")
    with as_role("web"):
        shown = page(client, "rolls")
        assert "Refused: What this wallet is repaid is meant for other notes" in shown
        assert "400" in shown
        assert "BLKN0" not in page(other, "rolls").split("Your elections")[1]
        assert other.get(f"{reverse('investor:bid', args=[into.id])}?roll={election.id}").status_code == 404
        assert client.get(f"{reverse('investor:bid', args=[into.id])}?roll=x").status_code == 404
        taken = reverse("investor:withdraw_roll", args=[election.id])
        assert other.post(taken).status_code == 302
        assert client.get(taken).status_code == 405
    carried_out.run_pending()
    election.refresh_from_db()
    assert election.state == "ELECTED"
    with as_role("web"):
        client.post(taken)
    carried_out.run_pending()
    with as_role("web"):
        assert "Withdrawn" in page(client, "rolls")


def test_what_lapsed_says_why(
    series: Series, into: Tranche, investors: list[User], as_role: RoleSwitch, web: None
) -> None:
    client = signed_in(investors[0], as_role)
    election_of(investors[0], into, client, as_role)
    with transaction.atomic():
        world.allocated(into.series, world.sealed(investors[1], into, (400, 6 * MILLION)))
    with as_role("web"):
        assert "No bid was made from it." in page(client, "rolls")
        assert "has lapsed" in page(client, "holdings")
    assert not Allocation.objects.filter(party__code="a", tranche=into).exists()
