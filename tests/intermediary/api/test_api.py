"""The API under the web's own database role: who is let in, what each key sees, how a wish is kept, how no is said."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client, override_settings

from bonds.models import Series
from intermediary import access
from intermediary.api import tokens, wishes
from intermediary.api.tokens import BID, READ
from intermediary.errors import BadInput, Refusal
from intermediary.models import ApiToken, Cell, CommandRequest
from tests.bonds import world
from tests.conftest import RoleSwitch, TestDatabase
from tests.intermediary.builders import assets

pytestmark = pytest.mark.usefixtures("web")


@pytest.fixture
def web(committing_db: TestDatabase) -> Iterator[None]:
    """The web process' settings, and nobody's pace from another test."""
    cache.clear()
    with override_settings(DATABASE_ROLE="web"):
        yield


@pytest.fixture
def investors(committing_db: TestDatabase) -> list[User]:
    with transaction.atomic():
        assets()
        return [world.investor(name) for name in "ab"]


@pytest.fixture
def series(investors: list[User]) -> Series:
    with transaction.atomic():
        cells: list[Cell] = [world.covered_cell("R1"), world.covered_cell("R2")]
        return world.on_risk(cells, investors)


def key_of(
    user: User, as_role: RoleSwitch, *scopes: str, networks: tuple[str, ...] = ()
) -> tuple[dict[str, str], ApiToken]:
    """A key made as its page makes it, and the header that presents it."""
    with as_role("owner"), transaction.atomic():
        made = tokens.issue(user=user, name="test", scopes=scopes or (READ,), days=30, networks=networks)
    return {"authorization": f"Bearer {made.secret}"}, made.token


def test_what_is_published_needs_no_key(series: Series, as_role: RoleSwitch) -> None:
    with as_role("web"):
        listed = Client().get("/api/v1/series").json()["results"]
        classes = Client().get(f"/api/v1/series/{series.code}/classes").json()
        slices = Client().get(f"/api/v1/series/{series.code}/slices").json()
        happened = Client().get(f"/api/v1/series/{series.code}/events").json()["results"]
    assert [one["code"] for one in listed] == [series.code]
    assert classes[0]["outstanding_base_units"] == str(series.tranches.get().original_base_units)
    assert [one["relationship"] for one in slices] == ["R1", "R2"]
    assert happened[0]["kind"] == "ISSUED"


def test_each_key_sees_its_own(series: Series, investors: list[User], as_role: RoleSwitch) -> None:
    first, _ = key_of(investors[0], as_role)
    with as_role("web"):
        me = Client(headers=first).get("/api/v1/me").json()
        held = Client(headers=first).get("/api/v1/holdings").json()
        bids = Client(headers=first).get("/api/v1/orders").json()
    assert (me["user"], me["parties"][0]["legal_name"]) == (investors[0].username, "Investor a")
    assert [one["units"] for one in held] == [str(series.tranches.get().original_base_units // 2)]
    assert len(bids) == 1


def test_whatever_is_wrong_with_a_key_gives_one_answer(investors: list[User], as_role: RoleSwitch) -> None:
    good, token = key_of(investors[0], as_role)
    elsewhere, _ = key_of(investors[0], as_role, networks=("203.0.113.0/24",))
    ended, row = key_of(investors[0], as_role)
    with as_role("owner"), transaction.atomic():
        tokens.revoke(user=investors[0], token_id=row.id)
    with as_role("web"):
        said = [
            Client(headers=headers).get("/api/v1/holdings")
            for headers in ({}, {"authorization": "Bearer bulkhead_no"}, elsewhere, ended)
        ]
        assert Client(headers=good).get("/api/v1/holdings").status_code == 200
    assert {answer.status_code for answer in said} == {401}
    assert len({answer.content for answer in said}) == 1
    assert said[0]["Content-Type"] == "application/problem+json"
    assert said[0]["WWW-Authenticate"] == "Bearer"
    assert said[0].json()["code"] == "key_not_accepted"
    assert ApiToken.objects.get(id=token.id).used_at is not None


def test_an_expired_key_and_one_of_a_person_who_left(investors: list[User], as_role: RoleSwitch) -> None:
    good, _ = key_of(investors[0], as_role)
    with as_role("owner"):
        late = tokens.PREFIX + "late"
        ApiToken.objects.create(
            user=investors[1],
            name="late",
            digest=tokens.digest_of(late),
            shown="late",
            scopes=[READ],
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )
        User.objects.filter(id=investors[0].id).update(is_active=False)
    with as_role("web"):
        assert Client(headers={"authorization": f"Bearer {late}"}).get("/api/v1/me").status_code == 401
        assert Client(headers=good).get("/api/v1/me").status_code == 401


def test_a_scope_that_is_missing_is_named(investors: list[User], as_role: RoleSwitch) -> None:
    bids_only, _ = key_of(investors[0], as_role, BID)
    with as_role("web"):
        said = Client(headers=bids_only).get("/api/v1/holdings")
    assert (said.status_code, said.json()["code"], said.json()["data"]) == (403, "scope_missing", {"missing": ["read"]})


def test_a_session_opens_nothing(series: Series, investors: list[User], as_role: RoleSwitch) -> None:
    client = Client()
    with as_role("owner"):
        client.force_login(investors[0])
    with as_role("web"):
        assert client.get("/api/v1/holdings").status_code == 401


def test_an_officers_cookie_does_not_widen_a_key(series: Series, investors: list[User], as_role: RoleSwitch) -> None:
    header, _ = key_of(investors[0], as_role)
    client = Client(headers=header)
    with as_role("owner"):
        officer = User.objects.create_user("boss", is_staff=True)
        client.force_login(officer)
    with as_role("web"):
        assert client.get("/api/v1/me").json()["user"] == investors[0].username
        assert len(client.get("/api/v1/orders").json()) == 1


def test_faults_are_problems(series: Series, as_role: RoleSwitch) -> None:
    with as_role("web"):
        absent = Client().get("/api/v1/series/NONE")
        method = Client().delete("/api/v1/series")
        cursor = Client().get("/api/v1/series?cursor=rubbish")
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert cursor.status_code == 404
    assert {one["Content-Type"] for one in (absent, method, cursor)} == {"application/problem+json"}


def test_too_many_requests_say_when(series: Series, as_role: RoleSwitch) -> None:
    with as_role("web"):
        said = [Client().get("/api/v1/me") for _ in range(121)][-1]
    assert said.status_code == 401, "who is nobody is told so before anything is counted"
    with as_role("web"):
        last = [Client().get(f"/api/v1/series/{series.code}") for _ in range(121)][-1]
    assert (last.status_code, last.json()["code"]) == (429, "throttled")
    assert 1 <= int(last["Retry-After"]) <= 60


def test_one_id_is_one_wish(investors: list[User], as_role: RoleSwitch) -> None:
    key = str(uuid.uuid4())
    body = {"order": str(uuid.uuid4())}
    with transaction.atomic():
        first, new = wishes.wished(user=investors[0], key=key, command="withdraw_order", body=body)
        again, renewed = wishes.wished(user=investors[0], key=key, command="withdraw_order", body=body)
        assert (first.id, new, renewed) == (again.id, True, False)
        with pytest.raises(Refusal) as other:
            wishes.wished(user=investors[0], key=key, command="withdraw_order", body={"order": "another"})
        with pytest.raises(Refusal) as stranger:
            wishes.wished(user=investors[1], key=key, command="withdraw_order", body=body)
        with pytest.raises(BadInput):
            wishes.wished(user=investors[0], key="not a uuid", command="withdraw_order", body=body)
    assert other.value.code == stranger.value.code == "id_means_another_wish"
    assert CommandRequest.objects.count() == 1
    header, _ = key_of(investors[0], as_role)
    strange, _ = key_of(investors[1], as_role)
    with as_role("web"):
        assert Client(headers=header).get(f"/api/v1/wishes/{first.id}").json()["state"] == "PENDING"
        assert Client(headers=strange).get(f"/api/v1/wishes/{first.id}").status_code == 404


def test_officers_have_no_keys_and_keys_have_bounds(investors: list[User], as_role: RoleSwitch) -> None:
    with as_role("owner"):
        officer = User.objects.create_user("boss", is_staff=True)
    asked = {"name": "x", "scopes": [READ], "days": 30, "networks": []}
    with transaction.atomic():
        for wrong, code in (
            ({"user": officer}, "no_keys_for_officers"),
            ({"scopes": ["all"]}, "scope_unknown"),
            ({"scopes": []}, "scope_unknown"),
            ({"days": 366}, "lifetime_out_of_range"),
            ({"networks": ["here"]}, "not_a_network"),
            ({"name": " "}, "name_missing"),
        ):
            with pytest.raises(Refusal) as refused:
                tokens.issue(**({"user": investors[0]} | asked | wrong))  # type: ignore[arg-type]
            assert refused.value.code == code
        for _ in range(tokens.TOKENS_MAX):
            tokens.issue(user=investors[0], **asked)  # type: ignore[arg-type]
        with pytest.raises(Refusal) as many:
            tokens.issue(user=investors[0], **asked)  # type: ignore[arg-type]
    assert many.value.code == "too_many_keys"


def test_a_person_makes_and_ends_a_key_on_the_page(investors: list[User], as_role: RoleSwitch) -> None:
    client = Client(headers={"accept": "text/html"})
    with as_role("owner"):
        investors[0].set_password("right")
        investors[0].save()
        client.force_login(investors[0])
    body = {"name": "desk", "scopes": ["read"], "days": "30", "networks": "127.0.0.0/8"}
    with as_role("web"):
        wrong = client.post("/account/keys/", body | {"password": "wrong"})
        made = client.post("/account/keys/", body | {"password": "right"}).content.decode()
    assert "This is not your password." in wrong.content.decode()
    secret = made.split('id="secret">')[1].split("<")[0]
    row = ApiToken.objects.get()
    assert row.digest == tokens.digest_of(secret)
    assert secret not in str(row.__dict__)
    header = {"authorization": f"Bearer {secret}"}
    with as_role("web"):
        assert Client(headers=header).get("/api/v1/me").json()["key"] == "desk"
        assert secret not in client.get("/account/keys/").content.decode()
        client.post(f"/account/keys/{row.id}/revoke/")
        assert Client(headers=header).get("/api/v1/me").status_code == 401


def test_the_database_keeps_keys_apart_and_fixed(investors: list[User], as_role: RoleSwitch) -> None:
    from django.db import DatabaseError

    from intermediary.config.tenancy import assume

    _, token = key_of(investors[0], as_role)
    with as_role("web"), transaction.atomic():
        assume("portal")
        access.become_tenant(investors[1].pk, [])
        assert not ApiToken.objects.exists()
    for change in ({"scopes": [READ, BID]}, {"expires_at": datetime.now(UTC) + timedelta(days=999)}):
        with pytest.raises(DatabaseError), as_role("web"), transaction.atomic():
            assume("portal")
            access.become_tenant(investors[0].pk, [])
            ApiToken.objects.filter(id=token.id).update(**change)
        with pytest.raises(DatabaseError, match="api_key_is_fixed"), as_role("owner"), transaction.atomic():
            ApiToken.objects.filter(id=token.id).update(**change)


def test_the_description_and_its_page_name_every_address(as_role: RoleSwitch, investors: list[User]) -> None:
    from django.urls import get_resolver

    with as_role("web"):
        said = Client().get("/api/v1/openapi.json").json()
        page = Client().get("/api/").content.decode()
    names = {str(name) for name in get_resolver().reverse_dict if str(name).startswith("api_")}
    described = set(said["paths"])
    assert len(described) == len(names - {"api_openapi", "api_keys"})
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"]
            assert f"{method.upper()} {path}" in page
    assert said["paths"]["/api/v1/holdings"]["get"]["x-scopes"] == ["read"]
    assert "security" not in said["paths"]["/api/v1/series"]["get"]
