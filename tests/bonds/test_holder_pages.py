"""Pages of those who hold notes, under the web's own database role: transfers, statements, the escrow's account."""

from django.contrib.auth.models import User
from django.urls import reverse

from bonds.models import Holding, Series
from intermediary.config import requests as config_requests
from tests.bonds.test_portal import cells, investors, mark, page, series, signed_in, web
from tests.conftest import RoleSwitch

__all__ = ["cells", "investors", "series", "web"]


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
