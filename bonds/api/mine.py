"""A holder's own, for programs: what it holds, its bids, its account; and wishes, carried out by a worker."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from eth_utils.address import to_checksum_address
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from bonds.api import bodies
from bonds.models import HolderNotice, NoteTransfer, Order
from bonds.portal import queries, rolled, sending, standing, statements
from intermediary import access, clock
from intermediary.api import wishes
from intermediary.api.paging import NewestFirst
from intermediary.api.tokens import BID, READ, TRANSFER

YOURS = "Your notes"
KEY = OpenApiParameter("Idempotency-Key", OpenApiTypes.UUID, OpenApiParameter.HEADER, required=True)
DAYS = [OpenApiParameter(name, OpenApiTypes.DATE, description="UTC day, inclusive") for name in ("from", "to")]


class Asked(serializers.Serializer[Any]):
    """What was asked for: look at `outcome_at` until its state is no longer PENDING."""

    id = serializers.UUIDField()
    state = serializers.CharField()
    outcome_at = serializers.CharField()


class Holdings(APIView):
    """Your own."""

    scopes = {"GET": (READ,)}

    @extend_schema(summary="What you hold", responses=bodies.HoldingBody(many=True), tags=[YOURS])
    def get(self, request: Request) -> Response:
        """One line a class and wallet."""
        return Response(bodies.HoldingBody(queries.holdings_of(_person(request)), many=True).data)


class Statement(APIView):
    """Your own."""

    scopes = {"GET": (READ,)}

    @extend_schema(
        summary="Your account of any days", responses=bodies.AccountBody(many=True), parameters=DAYS, tags=[YOURS]
    )
    def get(self, request: Request) -> Response:
        """One account a class; from the first issue until today unless you say otherwise, three years at most."""
        party = access.party_for(_person(request))
        since, until = statements.span(request._request, party)
        return Response(bodies.AccountBody(statements.accounts_of(party, since, until), many=True).data)


class Notices(ListAPIView[HolderNotice]):
    """Your own."""

    scopes = {"GET": (READ,)}
    serializer_class = bodies.NoticeBody
    pagination_class = NewestFirst
    queryset = HolderNotice.objects.select_related("series")

    @extend_schema(summary="What you were told as a holder, newest first", tags=[YOURS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Defaults, write-downs, write-ups, coupons, redemptions."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[HolderNotice]:
        """Of your parties."""
        return super().get_queryset().filter(party__members__user=_person(self.request))


class Eligibility(APIView):
    """Your own."""

    scopes = {"GET": (READ,)}

    @extend_schema(
        summary="Whether your wallets may hold notes", responses=bodies.StandingBody(many=True), tags=[YOURS]
    )
    def get(self, request: Request) -> Response:
        """In the order in which they were proved."""
        found = standing.wallets_of(access.party_for(_person(request)), clock.now())
        return Response(bodies.StandingBody(found, many=True).data)


class Orders(APIView):
    """Your own."""

    scopes = {"GET": (READ,), "POST": (BID,)}

    @extend_schema(summary="Your bids, newest first", responses=bodies.OrderBody(many=True), tags=[YOURS])
    def get(self, request: Request) -> Response:
        """With what became of them."""
        mine = Order.objects.filter(party__members__user=_person(request))
        rows = (
            mine.select_related("tranche__series", "wallet")
            .prefetch_related("allocations", "roll_forwards")
            .order_by("-id")
        )
        return Response(bodies.OrderBody(rows, many=True).data)

    @extend_schema(
        summary="Bid for a class", request=bodies.BidAsked, responses={202: Asked}, parameters=[KEY], tags=[YOURS]
    )
    def post(self, request: Request) -> Response:
        """The bid is sealed: you send its commitment and reveal it when the book is closed. A later bid for the same
        class replaces it."""
        said = _read(bodies.BidAsked, request)
        body = {"tranche": str(said["class_id"]), "commitment": said["commitment"], "conflicts": said["conflicts"]}
        if "roll_forward" in said:
            body["roll_forward"] = str(said["roll_forward"])
        return _ask(request, "seal_bid", body)


class Withdrawal(APIView):
    """Your own."""

    scopes = {"POST": (BID,)}

    @extend_schema(
        summary="Take a bid out of the book", request=None, responses={202: Asked}, parameters=[KEY], tags=[YOURS]
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """While the book is open."""
        return _ask(request, "withdraw_order", {"order": str(order_id)})


class Reveal(APIView):
    """Your own."""

    scopes = {"POST": (BID,)}

    @extend_schema(
        summary="Open a sealed bid", request=bodies.RevealAsked, responses={202: Asked}, parameters=[KEY], tags=[YOURS]
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Once the book is closed and before the time to reveal ends."""
        said = _read(bodies.RevealAsked, request)
        return _ask(request, "reveal_bid", {"order": str(order_id), "opening": said["opening"], "nonce": said["nonce"]})


class Rolls(APIView):
    """Your own."""

    scopes = {"GET": (READ,), "POST": (BID,)}

    @extend_schema(
        summary="Your elections to roll forward, newest first", responses=bodies.RollBody(many=True), tags=[YOURS]
    )
    def get(self, request: Request) -> Response:
        """What was repaid since, and what of it was paid for the new notes."""
        return Response(bodies.RollBody(rolled.elections_of(_person(request)), many=True).data)

    @extend_schema(
        summary="Elect to roll forward",
        request=bodies.RollAsked,
        responses={202: Asked},
        parameters=[KEY],
        tags=[YOURS],
    )
    def post(self, request: Request) -> Response:
        """Says that what a class repays to your wallet is meant for a class on sale, and names no amount. Then bid with
        its id as `roll_forward`; an election without a bid lapses when the book is cleared."""
        said = _read(bodies.RollAsked, request)
        one = _held(request, said["symbol"], said["wallet"])
        body = {
            "tranche": str(one.of.tranche.id),
            "wallet": one.holding.wallet.address,
            "into": str(said["class_id"]),
            "minimum_spread_bps": said["minimum_spread_bps"],
        }
        return _ask(request, "elect_roll", body)


class RollWithdrawal(APIView):
    """Your own."""

    scopes = {"POST": (BID,)}

    @extend_schema(
        summary="Take an election back", request=None, responses={202: Asked}, parameters=[KEY], tags=[YOURS]
    )
    def post(self, request: Request, election_id: UUID) -> Response:
        """Until the sale has decided it. A bid that was made from it stays in the book."""
        return _ask(request, "withdraw_roll", {"election": str(election_id)})


class Transfers(ListAPIView[NoteTransfer]):
    """Your own."""

    scopes = {"GET": (READ,)}
    serializer_class = bodies.MovedBody
    pagination_class = NewestFirst
    queryset = NoteTransfer.objects.all()

    @extend_schema(summary="What your wallets received and sent, last noticed first", tags=[YOURS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Every final transfer, made here or not. One between two of your wallets is two lines, and a page may be as
        much longer than its `limit`."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[NoteTransfer]:
        """Of your party."""
        return sending.transfers_of(sending.addresses_of(_person(self.request)))

    def paginate_queryset(self, queryset: Any) -> list[Any]:
        """A page of transfers, as your side reads them."""
        mine = sending.addresses_of(_person(self.request))
        return [side for row in super().paginate_queryset(queryset) or () for side in sending.sides_of(row, mine)]


class Transfer(APIView):
    """Your own."""

    scopes = {"POST": (TRANSFER,)}

    @extend_schema(
        summary="Ask whether a transfer would pass",
        request=bodies.TransferAsked,
        responses={202: Asked},
        parameters=[KEY],
        tags=[YOURS],
    )
    def post(self, request: Request) -> Response:
        """Nothing moves: your own wallet sends the notes, by the note contract's `transfer`. DONE means that nothing
        stands in its way now."""
        said = _read(bodies.TransferAsked, request)
        one = _held(request, said["symbol"], said["wallet"])
        body = {
            "holding": str(one.holding.id),
            "tranche": str(one.of.tranche.id),
            "wallet": one.holding.wallet.address,
            "receiver": to_checksum_address(said["receiver"]),
            "units": int(said["units"]),
        }
        return _ask(request, "review_transfer", body)


def _held(request: Request, symbol: str, wallet: str) -> queries.HoldingView:
    for one in queries.holdings_of(_person(request)):
        if one.of.tranche.symbol == symbol and one.holding.wallet.address.lower() == wallet.lower():
            return one
    raise access.not_found()


def _read(asked: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    said = asked(data=request.data)
    said.is_valid(raise_exception=True)
    read: dict[str, Any] = said.validated_data
    return read


def _ask(request: Request, command: str, body: dict[str, Any]) -> Response:
    key = request.headers.get("Idempotency-Key")
    wish, _ = wishes.wished(user=_person(request), key=key, command=command, body=body)
    address = reverse("api_wish", args=[wish.id], request=request)
    return Response(
        {"id": wish.id, "state": wish.state, "outcome_at": address}, status=202, headers={"Location": address}
    )


def _person(request: Request) -> User:
    assert isinstance(request.user, User), "a view that is somebody's own names its scopes"
    return request.user
