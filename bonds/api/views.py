"""What is published of notes, for programs. Thin: the same reads as the pages. No key is needed."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bonds.api import bodies, evidence
from bonds.models import CouponRun, EscrowReading, NoteMark, Series, SeriesEvent, TermSheet
from bonds.portal import book_queries, collateral, queries, term_sheets
from intermediary import access
from intermediary.api.paging import NewestFirst

PUBLISHED = "Series and classes"


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
        return Response(bodies.SeriesBody(series_of(code)).data)


class Classes(APIView):
    """Public: no key is needed."""

    @extend_schema(
        summary="The classes of a series, senior first", responses=bodies.ClassBody(many=True), tags=[PUBLISHED]
    )
    def get(self, request: Request, code: str) -> Response:
        """What is outstanding of each, its spread, and its newest mark."""
        return Response(bodies.ClassBody(queries.classes_of(series_of(code)), many=True).data)


class Slices(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The covered relationships", responses=bodies.SliceBody(many=True), tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """Each under its public code, with its layer of loss and what stands behind it."""
        return Response(bodies.SliceBody(queries.slices_of(series_of(code)), many=True).data)


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
        return super().get_queryset().filter(series=series_of(self.kwargs["code"]))


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
        series = series_of(self.kwargs["code"])
        return super().get_queryset().filter(tranche__series=series, tranche__symbol=self.kwargs["symbol"])


class Offering(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The sale of a series", responses=bodies.OfferingBody, tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """Its times, its classes with their guidance, and how many sealed bids there are."""
        found = book_queries.offering_of(series_of(code))
        if found is None:
            raise access.not_found()
        return Response(bodies.OfferingBody(found).data)


class Coupons(ListAPIView[CouponRun]):
    """Public: no key is needed."""

    serializer_class = bodies.CouponBody
    pagination_class = NewestFirst
    queryset = CouponRun.objects.select_related("tranche")

    @extend_schema(summary="The coupons of a series, last first", tags=[PUBLISHED])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Planned ones with their dates, paid ones with who paid for them."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[CouponRun]:
        """Of this series."""
        return super().get_queryset().filter(tranche__series=series_of(self.kwargs["code"]))


class Documents(APIView):
    """Public: no key is needed."""

    @extend_schema(
        summary="The document pack of a series", responses=evidence.DocumentBody(many=True), tags=[PUBLISHED]
    )
    def get(self, request: Request, code: str) -> Response:
        """As its terms name it. What is not `stored` is kept elsewhere and named by its hash alone."""
        found = term_sheets.documents_of(series_of(code))
        return Response(evidence.DocumentBody(found, many=True, context={"request": request}).data)


class Collateral(ListAPIView[EscrowReading]):
    """Public: no key is needed."""

    serializer_class = evidence.ReadingBody
    pagination_class = NewestFirst
    queryset = EscrowReading.objects.all()

    @extend_schema(summary="What lies in the escrow of a series, newest look first", tags=[PUBLISHED])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each as the chain said it at one final block: kept where something changed, and once a day."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[EscrowReading]:
        """Of this series."""
        return super().get_queryset().filter(series=series_of(self.kwargs["code"]))


class Proof(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The calls that prove the newest look", responses=evidence.ProofBody, tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """Send each to any node as `eth_call` at the block named; its answer is one word, the number in `said`."""
        series = series_of(code)
        reading = EscrowReading.objects.filter(series=series).first()
        if reading is None:
            raise access.not_found()
        calls = collateral.calls_at(series, reading, collateral.classes_at(series, reading), [])
        return Response(evidence.ProofBody({"chain_id": settings.CHAIN_ID, "reading": reading, "calls": calls}).data)


class Sheet(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The newest term sheet's figures", responses=OpenApiTypes.OBJECT, tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> Response:
        """The stored figures of the page, as they are, with the moment of their valuation."""
        found = TermSheet.objects.filter(series=series_of(code)).select_related("valuation").first()
        if found is None:
            raise access.not_found()
        return Response({"valued_at": found.valuation.as_of, "figures": found.body})


class Report(APIView):
    """Public: no key is needed."""

    @extend_schema(summary="The report of the cleared book", responses=OpenApiTypes.OBJECT, tags=[PUBLISHED])
    def get(self, request: Request, code: str) -> HttpResponse:
        """The very bytes whose SHA-256 is the offering's `report_hash`; `manage.py verify_allocation` replays them."""
        found = book_queries.offering_of(series_of(code))
        if found is None or not found.offering.report:
            raise access.not_found()
        return HttpResponse(found.offering.report, content_type="application/json")


def series_of(code: Any) -> Series:
    """A published series by its code."""
    found = Series.objects.filter(code=code).exclude(state=Series.State.STRUCTURING).select_related("currency").first()
    if found is None:
        raise access.not_found()
    return found
