"""Pages of investors, and the public page of a series."""

from django.urls import path

from bonds.portal import holders, pages

app_name = "investor"
urlpatterns = [
    path("", pages.holdings, name="holdings"),
    path("offerings/", pages.offerings, name="offerings"),
    path("offerings/<uuid:tranche_id>/order/", pages.order, name="order"),
    path("orders/<uuid:order_id>/withdraw/", pages.withdraw, name="withdraw"),
    path("eligibility/", holders.eligibility, name="eligibility"),
    path("eligibility/wallet/", holders.prove_wallet, name="prove_wallet"),
    path("series/", pages.all_series, name="all_series"),
    path("series/<uuid:series_id>/", pages.series, name="series"),
]
