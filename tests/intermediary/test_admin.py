"""The officers' pages: who gets in, what they may ask for, and that nothing can be edited."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.test import Client, override_settings
from django.urls import reverse

from intermediary import access
from intermediary.config.models import Replay
from intermediary.config.office.replay_controls import timeline
from intermediary.config.officers import GROUP, ensure_officer_group
from intermediary.config.tenancy import assume
from intermediary.models import AuditRecord, Cell, CommandRequest, DefaultCase, MarginCall, Proposal
from settlement.models import HouseReceipt
from tests.intermediary import office_world
from tests.intermediary.faces_world import START
from tests.people import as_owner, person

Roles = Callable[[str], AbstractContextManager[None]]
pytestmark = [pytest.mark.usefixtures("committing_db"), pytest.mark.world(build=office_world.build)]


@pytest.fixture
def world(committing_db: Any, built_world: dict[str, Cell]) -> dict[str, Cell]:
    return built_world


@pytest.fixture
def as_web(world: dict[str, Cell], as_role: Roles) -> Any:
    """Requests run under the web's login, with the roles that its middleware takes."""
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        yield


@pytest.fixture
def maker(as_web: None) -> Client:
    return signed_in("officer.maker")


@pytest.fixture
def checker(as_web: None) -> Client:
    return signed_in("officer.checker")


def signed_in(username: str) -> Client:
    client = Client()
    with transaction.atomic():
        assume("portal")
        access.show_person(username)
        client.force_login(User.objects.get(username=username))
    return client


def under_staff(read: Callable[[], Any]) -> Any:
    """A read of the test's own, with an officer's rights."""
    with transaction.atomic():
        assume("staff")
        return read()


def last_row(model: type[Model]) -> Model | None:
    return model._default_manager.order_by("pk").last()


def page(client: Client, name: str, *args: object, **headers: str) -> str:
    response = client.get(reverse(f"admin:{name}", args=args), headers=headers)
    assert response.status_code == 200, (name, response.status_code)
    return response.content.decode()


# Who gets in


def test_a_client_finds_no_admin(as_web: None) -> None:
    client = signed_in("client.basis")
    for name in ("index", "approvals", "replay", "intermediary_cell_changelist"):
        response = client.get(reverse(f"admin:{name}"), follow=True)
        assert response.status_code == 404


def test_a_stranger_is_asked_to_sign_in(as_web: None) -> None:
    response = Client().get(reverse("admin:index"), follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("sign_in"))


def test_a_superuser_who_is_no_officer_gets_no_further(as_role: Roles) -> None:
    person("root", is_superuser=True)
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        assert signed_in("root").get(reverse("admin:index"), follow=True).status_code == 404


def test_the_group_may_look_at_everything_and_change_nothing(world: dict[str, Cell]) -> None:
    with as_owner():
        group = ensure_officer_group()
    assert group.name == GROUP
    assert {code.partition("_")[0] for code in group.permissions.values_list("codename", flat=True)} == {"view"}
    officer = User.objects.get(username="officer.maker")
    assert not officer.is_superuser
    unseen = [
        model._meta.label
        for model in admin.site._registry
        if not officer.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
    ]
    assert unseen == []


# Every page answers


def test_every_page_of_the_office_answers(maker: Client) -> None:
    for name in (
        "index",
        "approvals",
        "lines",
        "defaults",
        "recovery",
        "stress",
        "own_stress",
        "liquidity",
        "market",
        "stuck",
        "replay",
        "start_over",
    ):
        assert "Bulkhead" in page(maker, name)
    proposal = under_staff(lambda: Proposal.objects.filter(state="PROPOSED").get())
    case = under_staff(DefaultCase.objects.get)
    assert "Admission test" in page(maker, "proposal", proposal.id)
    assert "Who pays" in page(maker, "default_room", case.id)
    assert "Propose" in page(maker, "propose_line", "R-101")


def test_the_liquidity_page_says_when_winners_are_paid(maker: Client) -> None:
    assert "Winners are paid at every valuation whether" in page(maker, "liquidity")
    with override_settings(VARIATION_CYCLE=timedelta(hours=4)):
        shown = page(maker, "liquidity")
    assert "Winners are paid every 4 hours whether" in shown
    assert 'losers are debited and winners paid, every</td><td class="n one-line">4 hours</td>' in shown


def test_a_live_page_renews_only_its_part(maker: Client) -> None:
    part = page(maker, "index", **{"HX-Request": "true"})
    assert part.lstrip().startswith('<div id="live"')
    assert "<html" not in part


@pytest.mark.world(build=None)
def test_pages_answer_in_an_empty_world(as_role: Roles) -> None:
    officer = person("officer.maker", is_staff=True)
    with as_owner():
        officer.groups.add(ensure_officer_group())
    with as_role("web"), override_settings(DATABASE_ROLE="web"):
        client = signed_in("officer.maker")
        for name in ("index", "approvals", "lines", "defaults", "recovery", "liquidity", "stuck", "replay"):
            page(client, name)


def test_every_table_answers_its_list_and_its_rows(maker: Client) -> None:
    for model in list(admin.site._registry):
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        page(maker, f"{name}_changelist")
        row = under_staff(partial(last_row, model))
        if row is not None:
            assert 'name="_save"' not in page(maker, f"{name}_change", row.pk)


def test_money_is_shown_with_its_unit_and_exact_on_hover(maker: Client) -> None:
    accounts = page(maker, "intermediary_account_changelist")
    assert 'title="12,500,000.000000 USDC"' in accounts or 'title="11,750,000.000000 USDC"' in accounts
    assert 'title="20.00000000 WBTC"' in accounts


def test_the_admin_allows_eval_but_no_inline_script_and_other_pages_neither(maker: Client) -> None:
    office = maker.get(reverse("admin:index")).headers["Content-Security-Policy"]
    public = maker.get(reverse("rulebook")).headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in f"{office};"
    assert "style-src 'self';" in f"{office};"
    assert "unsafe" not in public


# Nothing is edited


def test_no_table_can_be_written_in_the_admin(maker: Client) -> None:
    for model in list(admin.site._registry):
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        assert maker.get(reverse(f"admin:{name}_add")).status_code == 403, name
        row = under_staff(partial(last_row, model))
        if row is None:
            continue
        assert maker.post(reverse(f"admin:{name}_change", args=[row.pk]), {}).status_code == 403, name
        assert maker.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403, name


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE intermediary_account SET balance_base_units = 0",
        "DELETE FROM intermediary_posting",
        "UPDATE intermediary_marginstate SET required_base_units = 0",
        "UPDATE config_replay SET bar_at = now()",
        "UPDATE intermediary_cell SET state = 'OPEN'",
    ],
)
def test_an_officers_database_role_writes_no_record(as_web: None, statement: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        assume("staff")
        with connection.cursor() as cursor:
            cursor.execute(statement)


# Decisions are asked for, not made


def decide(client: Client, proposal: Proposal, decision: str, reason: str = "Cover is in place.") -> Any:
    address = reverse("admin:decide", args=[proposal.id])
    return client.post(address, {"decision": decision, "reason": reason, "seen_hash": proposal.hash})


def requests() -> list[CommandRequest]:
    return list(under_staff(lambda: list(CommandRequest.objects.select_related("user"))))


def test_the_maker_is_told_why_they_cannot_decide(maker: Client) -> None:
    proposal = under_staff(lambda: Proposal.objects.get(state="PROPOSED"))
    shown = page(maker, "proposal", proposal.id)
    assert "You proposed it" in shown
    assert 'value="approve"' not in shown


def test_the_maker_cannot_approve_in_the_database_either(as_web: None) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        assume("staff")
        found = Proposal.objects.get(state="PROPOSED")
        Proposal.objects.filter(id=found.id).update(
            state="APPROVED", checker=found.maker, approved_hash=found.hash, decision_reason="mine", decided_at=found.at
        )


def test_a_checkers_decision_becomes_a_request_bound_to_the_hash(checker: Client) -> None:
    proposal = under_staff(lambda: Proposal.objects.get(state="PROPOSED"))
    response = decide(checker, proposal, "approve")
    (made,) = requests()
    assert response.headers["Location"] == reverse("admin:request", args=[made.id])
    assert (made.command, made.user.username, made.cell_id) == ("approve_line", "officer.checker", proposal.cell_id)
    assert made.body == {"proposal_id": str(proposal.id), "seen_hash": proposal.hash, "reason": "Cover is in place."}
    assert "Being worked on" in page(checker, "request", made.id)


def test_a_rejection_becomes_a_request(checker: Client) -> None:
    decide(checker, under_staff(lambda: Proposal.objects.get(state="PROPOSED")), "reject")
    assert [one.command for one in requests()] == ["reject_line"]


def test_a_decision_without_a_reason_is_not_sent(checker: Client) -> None:
    response = decide(checker, under_staff(lambda: Proposal.objects.get(state="PROPOSED")), "approve", reason="")
    assert response.status_code == 422
    assert "Give a reason" in response.content.decode()
    assert requests() == []


def test_an_outcome_is_seen_by_its_own_officer_only(maker: Client, checker: Client) -> None:
    decide(checker, under_staff(lambda: Proposal.objects.get(state="PROPOSED")), "approve")
    (made,) = requests()
    assert maker.get(reverse("admin:request", args=[made.id])).status_code == 404


def test_a_refusal_is_shown_with_its_numbers(checker: Client, as_role: Roles) -> None:
    decide(checker, under_staff(lambda: Proposal.objects.get(state="PROPOSED")), "approve")
    (made,) = requests()
    told = {"code": "admission_failed", "title": "The stressed loss does not fit.", "data": {"short_by_base_units": 5}}
    with as_role("worker"):
        CommandRequest.objects.filter(id=made.id).update(state="REFUSED", outcome=told)
    shown = page(checker, "request", made.id)
    assert "The stressed loss does not fit." in shown
    assert "0.000005 USDC" in shown
    assert "every 1s" not in shown  # decided: nothing to wait for


def test_a_line_is_proposed_in_base_units(maker: Client) -> None:
    form = {
        "threshold_base_units": "1,500,000.5", "first_loss_base_units": "2000000", "tail_base_units": "0",
        "senior_base_units": "3 000 000", "expires_at": "2026-01-08T14:00", "reason": "Larger basis book.",
    }  # fmt: skip
    maker.post(reverse("admin:propose_line", args=["R-101"]), form)
    (made,) = requests()
    assert made.command == "propose_line"
    assert made.body["threshold_base_units"] == 1_500_000_500_000
    assert made.body["senior_base_units"] == 3 * 10**12
    assert made.body["expires_at"] == "2026-01-08T14:00:00+00:00"
    assert made.body["slice_id"] == ""


@pytest.mark.parametrize(("amount", "told"), [("-1", "negative"), ("1.0000001", "six decimals"), ("x", "six decimals")])
def test_an_amount_that_is_none_is_refused_beside_its_field(maker: Client, amount: str, told: str) -> None:
    response = maker.post(reverse("admin:propose_line", args=["R-101"]), {"threshold_base_units": amount})
    assert response.status_code == 422
    assert told in response.content.decode()
    assert requests() == []


def test_a_default_notice_is_asked_for_on_a_lapsed_call(maker: Client) -> None:
    call = under_staff(lambda: MarginCall.objects.get(state="LAPSED"))
    maker.post(reverse("admin:propose_notice", args=[call.id]), {"reason": "Nothing arrived in its vault."})
    (made,) = requests()
    assert (made.command, made.body["call_id"]) == ("propose_notice", str(call.id))


def test_a_receipt_is_booked_on_a_claim(maker: Client, as_role: Roles) -> None:
    receipt = under_staff(HouseReceipt.objects.get)
    assert "3,400,000.00" in page(maker, "recovery")
    maker.post(reverse("admin:book_recovery", args=[receipt.id]), {"case": "", "source": "estate"})
    assert requests() == []  # no claim is determined yet: there is none to book it on


# The replay


def test_the_replay_is_paused_paced_and_resumed(maker: Client) -> None:
    for form, field, wanted in (
        ({"wish": "pause"}, "state", "PAUSED"),
        ({"wish": "pace", "seconds_a_bar": "3"}, "seconds_a_bar", 3),
        ({"wish": "autopilot_off"}, "autopilot", False),
        ({"wish": "resume"}, "state", "RUNNING"),
    ):
        maker.post(reverse("admin:replay"), form)
        assert under_staff(Replay.objects.values_list(field, flat=True).get) == wanted
    assert under_staff(lambda: AuditRecord.objects.filter(action__startswith="replay.").count()) == 4


def test_a_pace_that_is_none_changes_nothing(maker: Client) -> None:
    maker.post(reverse("admin:replay"), {"wish": "pace", "seconds_a_bar": "-1"})
    assert under_staff(lambda: Replay.objects.get().seconds_a_bar) == 8


def test_starting_over_is_confirmed_first(maker: Client) -> None:
    assert "cannot be undone" in page(maker, "start_over")
    assert not under_staff(lambda: Replay.objects.get().fresh_world_wanted)
    maker.post(reverse("admin:start_over"))
    assert under_staff(lambda: Replay.objects.get().fresh_world_wanted)


def test_the_timeline_marks_the_crash_inside_the_recording() -> None:
    replay = Replay(
        started_at=START,
        bar_at=START + timedelta(hours=7),
        ends_at=START + timedelta(hours=34),
    )
    marks = timeline(replay, START)
    assert marks["now"] == 0
    assert marks["crash"] == 176.47
    assert marks["crash"] < (marks["lowest"] or 0)
