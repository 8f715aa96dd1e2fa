"""Addresses of the API of notes."""

from django.urls import path

from bonds.api import views

urlpatterns = [
    path("series", views.AllSeries.as_view(), name="api_all_series"),
    path("series/<str:code>", views.OneSeries.as_view(), name="api_series"),
    path("series/<str:code>/classes", views.Classes.as_view(), name="api_classes"),
    path("series/<str:code>/classes/<str:symbol>/marks", views.Marks.as_view(), name="api_marks"),
    path("series/<str:code>/slices", views.Slices.as_view(), name="api_slices"),
    path("series/<str:code>/events", views.Events.as_view(), name="api_events"),
    path("holdings", views.Holdings.as_view(), name="api_holdings"),
    path("orders", views.Orders.as_view(), name="api_orders"),
]
