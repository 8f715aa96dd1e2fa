"""The client's pages; each names its relationship, so a bookmark means the same tomorrow."""

from django.urls import path

from intermediary.portal import acts, deposits, risk, views, what_if

app_name = "portal"
urlpatterns = [
    path("", views.first, name="first"),
    path("requests/<uuid:request_id>/", acts.request_page, name="request"),
    path("<slug:code>/", views.overview, name="overview"),
    path("<slug:code>/positions/", views.positions, name="positions"),
    path("<slug:code>/trades/", views.trades, name="trades"),
    path("<slug:code>/trades/new/", acts.new_trade, name="new_trade"),
    path("<slug:code>/trades/<uuid:trade_id>/", acts.answer_trade, name="answer_trade"),
    path("<slug:code>/what-if/", what_if.what_if, name="what_if"),
    path("<slug:code>/margin-calls/", views.calls, name="calls"),
    path("<slug:code>/margin-calls/<uuid:call_id>/", acts.answer_call, name="answer_call"),
    path("<slug:code>/collateral/", views.collateral, name="collateral"),
    path("<slug:code>/deposit/", deposits.deposit, name="deposit"),
    path("<slug:code>/deposits/<slug:transaction_hash>/", deposits.deposit_sent, name="deposit_sent"),
    path("<slug:code>/deposits/<slug:transaction_hash>/<int:log_index>/", deposits.deposit_state, name="deposit_state"),
    path("<slug:code>/wallets/", deposits.wallets, name="wallets"),
    path("<slug:code>/withdraw/", acts.withdraw, name="withdraw"),
    path("<slug:code>/credit/", views.credit, name="credit"),
    path("<slug:code>/risk/", risk.risk, name="risk"),
    path("<slug:code>/isolation/", views.isolation, name="isolation"),
    path("<slug:code>/terms/", views.terms, name="terms"),
    path("<slug:code>/statements/", views.statements, name="statements"),
    path("<slug:code>/statements.csv", views.statements_csv, name="statements_csv"),
]
