"""Addresses of the API of notes."""

from django.urls import path

from bonds.api import mine, views

urlpatterns = [
    path("series", views.AllSeries.as_view(), name="api_all_series"),
    path("series/<str:code>", views.OneSeries.as_view(), name="api_series"),
    path("series/<str:code>/classes", views.Classes.as_view(), name="api_classes"),
    path("series/<str:code>/classes/<str:symbol>/marks", views.Marks.as_view(), name="api_marks"),
    path("series/<str:code>/slices", views.Slices.as_view(), name="api_slices"),
    path("series/<str:code>/events", views.Events.as_view(), name="api_events"),
    path("series/<str:code>/coupons", views.Coupons.as_view(), name="api_coupons"),
    path("series/<str:code>/documents", views.Documents.as_view(), name="api_documents"),
    path("series/<str:code>/collateral", views.Collateral.as_view(), name="api_collateral"),
    path("series/<str:code>/collateral/proof", views.Proof.as_view(), name="api_collateral_proof"),
    path("series/<str:code>/term-sheet", views.Sheet.as_view(), name="api_term_sheet"),
    path("series/<str:code>/offering", views.Offering.as_view(), name="api_offering"),
    path("series/<str:code>/allocation", views.Report.as_view(), name="api_allocation"),
    path("holdings", mine.Holdings.as_view(), name="api_holdings"),
    path("statement", mine.Statement.as_view(), name="api_statement"),
    path("notices", mine.Notices.as_view(), name="api_notices"),
    path("eligibility", mine.Eligibility.as_view(), name="api_eligibility"),
    path("orders", mine.Orders.as_view(), name="api_orders"),
    path("orders/<uuid:order_id>/withdraw", mine.Withdrawal.as_view(), name="api_withdraw_order"),
    path("orders/<uuid:order_id>/reveal", mine.Reveal.as_view(), name="api_reveal_order"),
    path("rolls", mine.Rolls.as_view(), name="api_rolls"),
    path("rolls/<uuid:election_id>/withdraw", mine.RollWithdrawal.as_view(), name="api_withdraw_roll"),
    path("transfers", mine.Transfers.as_view(), name="api_transfers"),
    path("transfers/review", mine.Transfer.as_view(), name="api_review_transfer"),
]
