"""The API of notes. Thin: the same reads as the pages, and wishes where something is asked for."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bonds.api import bodies
from bonds.models import NoteMark, Series, SeriesEvent
from bonds.portal import book_queries, queries
from intermediary import access
from intermediary.api.paging import NewestFirst
from intermediary.api.tokens import READ

PUBLISHED = "Series and classes"
YOURS = "Your notes"


class AllSeries(ListAPIView[Series]):
    """Public: no key is needed."""

    serializer_class = bodies.SeriesBody
    pagination_class = NewestFirst
    queryset = Series.objects.exclude(state=Series.State.STRUCTURING).select_related("currency")

    @extend_schema(summary="Every published series, newest first", tags=[PUBLISHED])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Follow `next` for older ones."""
        return super().get(request, *args, **kwargs)


class OneSeries(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="One series", responses=bodies.SeriesBody, tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """Its dates, its state, its terms and their hash."""
        return Response(bodies.SeriesBody(_series(code)).data)


class Classes(APIView):
    """Public: no key is needed."""

    @extend_schema(
        summary="The classes of a series, senior first", responses=bodies.ClassBody(many=True), tags=[PUBLISHED]
    )
    def get(self, request: Request, code: str) -> Response:
        """What is outstanding of each, its spread, and its newest mark."""
        return Response(bodies.ClassBody(queries.classes_of(_series(code)), many=True).data)


class Slices(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The covered relationships", responses=bodies.SliceBody(many=True), tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """Each under its public code, with its layer of loss and what stands behind it."""
        return Response(bodies.SliceBody(queries.slices_of(_series(code)), many=True).data)


class Events(ListAPIView[SeriesEvent]):
    """Public: no key is needed."""

    serializer_class = bodies.EventBody
    pagination_class = NewestFirst
    queryset = SeriesEvent.objects.all()

    @extend_schema(summary="What happened to a series, newest first", tags=[PUBLISHED])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Its timeline, as on its page."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[SeriesEvent]:
        """Of this series."""
        return super().get_queryset().filter(series=_series(self.kwargs["code"]))


class Marks(ListAPIView[NoteMark]):
    """Public: no key is needed."""

    serializer_class = bodies.MarkBody
    pagination_class = NewestFirst
    queryset = NoteMark.objects.select_related("valuation")

    @extend_schema(summary="The marks of a class, newest first", tags=[PUBLISHED])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One for each official valuation."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[NoteMark]:
        """Of this class."""
        series = _series(self.kwargs["code"])
        return super().get_queryset().filter(tranche__series=series, tranche__symbol=self.kwargs["symbol"])


class Holdings(APIView):
    """Your own."""

    scopes = {"GET": (READ,)}

    @extend_schema(summary="What you hold", responses=bodies.HoldingBody(many=True), tags=[YOURS])
    def get(self, request: Request) -> Response:
        """One line a class and wallet."""
        return Response(bodies.HoldingBody(queries.holdings_of(_person(request)), many=True).data)


class Orders(APIView):
    """Your own."""

    scopes = {"GET": (READ,)}

    @extend_schema(summary="Your bids, newest first", responses=bodies.OrderBody(many=True), tags=[YOURS])
    def get(self, request: Request) -> Response:
        """With what became of them."""
        mine = book_queries.orders_of(_person(request))
        return Response(bodies.OrderBody([one.order for one in mine], many=True).data)


def _series(code: Any) -> Series:
    found = Series.objects.filter(code=code).exclude(state=Series.State.STRUCTURING).select_related("currency").first()
    if found is None:
        raise access.not_found()
    return found


def _person(request: Request) -> User:
    assert isinstance(request.user, User), "a view that is somebody's own names its scopes"
    return request.user
