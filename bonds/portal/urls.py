"""Pages of investors, and the public page of a series."""

from django.urls import path

from bonds.portal import (
    book_pages,
    collateral,
    holders,
    pages,
    paying,
    rolls,
    sending,
    statements,
    taking,
    term_sheets,
)

app_name = "investor"
urlpatterns = [
    path("", pages.holdings, name="holdings"),
    path("offerings/", book_pages.offerings, name="offerings"),
    path("offerings/<uuid:tranche_id>/bid/", book_pages.bid, name="bid"),
    path("orders/<uuid:order_id>/withdraw/", book_pages.withdraw, name="withdraw"),
    path("orders/<uuid:order_id>/reveal/", book_pages.reveal, name="reveal"),
    path("orders/<uuid:order_id>/pay/", paying.pay, name="pay"),
    path("eligibility/", holders.eligibility, name="eligibility"),
    path("eligibility/wallet/", holders.prove_wallet, name="prove_wallet"),
    path("cash/", taking.take_out, name="take_out"),
    path("rolls/", rolls.rolls, name="rolls"),
    path("rolls/<uuid:election_id>/withdraw/", rolls.withdraw, name="withdraw_roll"),
    path("transfers/", sending.transfers, name="transfers"),
    path("transfers/<uuid:request_id>/", sending.transfer, name="transfer"),
    path("statements/", statements.statement, name="statements"),
    path("statements.csv", statements.statement_csv, name="statement_csv"),
    path("series/", pages.all_series, name="all_series"),
    path("series/<uuid:series_id>/", pages.series, name="series"),
    path("series/<uuid:series_id>/collateral/", collateral.collateral, name="collateral"),
    path("series/<uuid:series_id>/term-sheet/", term_sheets.term_sheet, name="term_sheet"),
    path("series/<uuid:series_id>/term-sheet.pdf", term_sheets.pdf, name="term_sheet_pdf"),
    path("series/<uuid:series_id>/documents/<str:sha256>/", term_sheets.document, name="series_document"),
    path("series/<uuid:series_id>/allocation.json", book_pages.allocation_report, name="allocation_report"),
]
