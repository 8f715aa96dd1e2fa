"""The officers' site: who gets in, under which content policy, and its pages that are more than one table."""

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.sites import UnfoldAdminSite

from intermediary.access import not_found

View = Callable[..., HttpResponse]

# unfold drives its menus with Alpine, which compiles the expressions in the markup (eval) and sets style attributes.
# That is allowed here and nowhere else. Inline scripts and inline style elements stay refused, and so does any host
# but ours; what a client typed is escaped and never reaches an Alpine attribute.
POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src-attr": [UNSAFE_INLINE]}


class OfficerSite(UnfoldAdminSite):  # type: ignore[misc]  # published without types
    """The admin, for active officers only. Everyone else learns nothing, not even that a page exists."""

    enable_nav_sidebar = True

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """An officers' page under the officers' content policy."""
        guarded: Any = csp_replace(POLICY)(super().admin_view(view, cacheable))
        return guarded  # type: ignore[no-any-return]  # what the decorator returns is wider than a view

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page for everyone; a signed-in person who is no officer finds nothing here."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise not_found()
        wanted = request.GET.get("next") or reverse("admin:index")
        return redirect(f"{reverse('sign_in')}?{urlencode({'next': wanted})}")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The desk is the first page."""
        from intermediary.config.office import desk

        return desk.desk(request)

    def extra_urls(self) -> list[URLPattern]:
        """Pages beside the tables. Imported here: models are loaded by now."""
        from intermediary.config.office import (
            acts,
            alarms,
            approvals,
            backtest,
            cases,
            contagion,
            investors,
            lines,
            liquidity,
            market,
            offerings,
            openings,
            outcome,
            own_stress,
            reconciliation,
            recoveries,
            replay_controls,
            runbook,
            series,
            stress,
            stuck,
            what_if,
        )

        pages: tuple[tuple[str, View, str], ...] = (
            ("alarms/", alarms.alarms, "alarms"),
            ("alarms/<uuid:alarm_id>/note/", alarms.note, "note_alarm"),
            ("acts/", acts.acts, "acts"),
            ("acts/propose/<slug:kind>/", acts.propose, "propose_act"),
            ("acts/<uuid:act_id>/stop/", acts.stop, "stop_act"),
            ("fence/", acts.lift_fence, "lift_fence"),
            ("runbook/", runbook.runbook, "runbook"),
            ("runbook/<slug:name>/", runbook.page, "runbook_page"),
            ("approvals/", approvals.inbox, "approvals"),
            ("approvals/<uuid:proposal_id>/", approvals.proposal, "proposal"),
            ("approvals/<uuid:proposal_id>/decide/", approvals.decide, "decide"),
            ("investors/", investors.investors, "investors"),
            ("investors/<uuid:application_id>/propose/", investors.propose, "propose_eligibility"),
            ("investors/<uuid:wallet_id>/end/", investors.end, "end_eligibility"),
            ("lines/", lines.lines, "lines"),
            ("relationships/new/", openings.new, "open_relationship"),
            ("lines/<slug:code>/", lines.propose, "propose_line"),
            ("defaults/", cases.cases, "defaults"),
            ("defaults/<uuid:case_id>/", cases.room, "default_room"),
            ("defaults/<uuid:case_id>/determine/", cases.propose_determination, "propose_determination"),
            ("defaults/call/<uuid:call_id>/notice/", cases.propose_notice, "propose_notice"),
            ("reconciliation/", reconciliation.reconciliation, "reconciliation"),
            ("reconciliation/breaks.csv", reconciliation.breaks_csv, "reconciliation_csv"),
            ("recovery/", recoveries.recovery, "recovery"),
            ("recovery/<uuid:receipt_id>/book/", recoveries.book, "book_recovery"),
            ("offerings/", offerings.offerings, "offerings"),
            ("offerings/<uuid:series_id>/", offerings.offering, "offering"),
            ("offerings/<uuid:series_id>/<slug:name>/", offerings.act, "act_on_offering"),
            ("series/", series.series, "series"),
            ("series/new/", series.new, "new_series"),
            ("series/draft/<uuid:draft_id>/", series.draft, "series_draft"),
            ("series/draft/<uuid:draft_id>/propose/", series.propose, "propose_series"),
            ("series/draft/<uuid:draft_id>/drop/", series.drop, "drop_series_draft"),
            ("series/document/", series.upload, "store_document"),
            ("series/<uuid:series_id>/sheet/", series.term_sheet, "term_sheet"),
            ("stress/", stress.stress, "stress"),
            ("stress/own/", own_stress.own_stress, "own_stress"),
            ("stress/<slug:code>/", stress.relationship_stress, "stress_of"),
            ("what-if/<slug:code>/", what_if.what_if, "what_if"),
            ("liquidity/", liquidity.liquidity, "liquidity"),
            ("market/", market.market, "market"),
            ("stuck/", stuck.stuck, "stuck"),
            ("stuck/call/<uuid:instruction_id>/", stuck.propose, "propose_chain_call"),
            ("stuck/event/<uuid:delivery_id>/", stuck.again, "deliver_again"),
            ("stuck/deposit/<uuid:log_id>/", stuck.suspend, "suspend_deposit"),
            ("backtest/", backtest.backtest, "backtest"),
            ("contagion/", contagion.contagion, "contagion"),
            ("backtest/report.json", backtest.download, "backtest_json"),
            ("replay/", replay_controls.controls, "replay"),
            ("replay/start-over/", replay_controls.start_over, "start_over"),
            ("requests/<uuid:request_id>/", outcome.outcome, "request"),
        )
        return [path(route, self.admin_view(view), name=name) for route, view, name in pages]
