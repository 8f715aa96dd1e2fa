"""What every part of the API shares: who I am, and what became of a wish."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from intermediary.api import tokens, wishes
from intermediary.models import ApiToken, CommandRequest, Party


class PartyBody(serializers.ModelSerializer[Party]):
    """A legal person for whom you act."""

    class Meta:
        model = Party
        fields = ("code", "legal_name", "kind", "jurisdiction")


class MeBody(serializers.Serializer[ApiToken]):
    """The key in use and the person behind it."""

    user = serializers.CharField(source="user.username")
    key = serializers.CharField(source="name")
    scopes = serializers.ListField(child=serializers.CharField())
    networks = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField()
    parties = serializers.SerializerMethodField()

    @extend_schema_field(PartyBody(many=True))
    def get_parties(self, token: ApiToken) -> list[dict[str, Any]]:
        """Those for whom the person acts."""
        return list(PartyBody(Party.objects.filter(members__user=token.user), many=True).data)


class WishBody(serializers.ModelSerializer[CommandRequest]):
    """Something asked for: PENDING until a worker has taken it up, then DONE with its result or REFUSED with the
    problem that stood in the way."""

    class Meta:
        model = CommandRequest
        fields = ("id", "command", "state", "outcome", "recorded_at")


class Me(APIView):
    """Who this key speaks for."""

    scopes = {"GET": (tokens.READ,)}

    @extend_schema(summary="Who this key speaks for", responses=MeBody, tags=["Keys and wishes"])
    def get(self, request: Request) -> Response:
        """The key, its person, and the parties for whom the person acts."""
        token = request.auth
        assert isinstance(token, ApiToken)
        return Response(MeBody(token).data)


class Wish(APIView):
    """What became of something asked for."""

    scopes = {"GET": (tokens.READ,)}

    @extend_schema(summary="What became of a wish", responses=WishBody, tags=["Keys and wishes"])
    def get(self, request: Request, wish_id: UUID) -> Response:
        """Ask again while it is PENDING; a worker takes a wish up within a second or two."""
        assert isinstance(request.user, User)
        return Response(WishBody(wishes.wish_of(request.user, wish_id)).data)
