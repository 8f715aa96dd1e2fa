"""Cash that waits in an escrow is shown with the calls that take it out, and no more once it was taken."""

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from bonds.models import CouponPayment, CouponRun, HolderClaim, Series
from bonds.portal.collateral import call_data
from bonds.servicing import coupons
from intermediary.models import Wallet
from tests.bonds import serviced_world as life
from tests.people import as_owner

pytestmark = pytest.mark.world(build=life.serviced)


def shown(**query: str) -> str:
    client = Client(headers={"accept": "text/html"})
    with as_owner():  # only the owner and the web open a session
        client.force_login(User.objects.get(username="a"))
    with override_settings(STATIC_ROOT=""), as_owner():
        answer = client.get(reverse("investor:take_out"), query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def paid() -> CouponPayment:
    run = CouponRun.objects.order_by("number")[0]
    for day in (run.payment_date - coupons.CHARGED_AHEAD, run.payment_date):
        life.live_to_day(day)
        life.serve()
        life.serve()
    return CouponPayment.objects.get(run=run, party__code="a")


def test_before_the_first_coupon_nothing_waits(series: Series) -> None:
    assert "Nothing waits for you" in shown()


def test_a_coupon_waits_with_the_call_that_takes_it_and_is_gone_when_that_is_final(series: Series) -> None:
    coupon, wallet = paid(), Wallet.objects.get(party__code="a")
    page = shown()
    asked = re.search(r'<script id="asked" type="application/json">(.*?)</script>', page)
    assert asked is not None
    (call,) = json.loads(asked[1])["calls"]
    note = series.tranches.get()
    assert (call["note"], call["escrow"]) == (note.note_address, series.escrow_address)
    assert call["claim"] == call_data("claim(uint256,address)", "0", wallet.address)
    assert f'value="{coupon.amount_base_units / 10**6:f}"' in page
    sent = "0x" + "d" * 64
    assert "On its way" in shown(sent=sent)
    HolderClaim.objects.create(
        tranche=note,
        party=coupon.party,
        address=wallet.address,
        amount_base_units=coupon.amount_base_units,
        transaction_hash=sent,
        log_index=0,
    )
    page = shown(sent=sent)
    assert "Final." in page
    assert "Nothing waits for you" in page
    assert 'id="asked"' not in page
