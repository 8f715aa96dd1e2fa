"""Pages of investors, and the public page of a series."""

from django.urls import path

from bonds import portal

app_name = "investor"
urlpatterns = [
    path("", portal.holdings, name="holdings"),
    path("offerings/", portal.offerings, name="offerings"),
    path("offerings/<uuid:tranche_id>/order/", portal.order, name="order"),
    path("orders/<uuid:order_id>/withdraw/", portal.withdraw, name="withdraw"),
    path("series/", portal.all_series, name="all_series"),
    path("series/<uuid:series_id>/", portal.series, name="series"),
]
