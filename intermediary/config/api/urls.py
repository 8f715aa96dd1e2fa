"""Every address of the API, version 1."""

from django.urls import include, path

from intermediary.config.api import description, views

urlpatterns = [
    path("openapi.json", description.openapi, name="api_openapi"),
    path("me", views.Me.as_view(), name="api_me"),
    path("wishes/<uuid:wish_id>", views.Wish.as_view(), name="api_wish"),
    path("", include("bonds.api.urls")),
]
