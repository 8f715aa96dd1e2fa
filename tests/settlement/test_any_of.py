"""Several questions in one statement, written down once, asked of the chain that the process works on."""

import pytest
from django.db.models import QuerySet
from pytest_django import Settings

from settlement import chains
from settlement.any_of import AnyOf
from settlement.models import Deployment, Fence
from tests.settlement.test_chains import TWO

pytestmark = pytest.mark.django_db


def houses() -> QuerySet[Deployment]:
    return Deployment.objects.filter(name="House")


def fences() -> QuerySet[Fence]:
    return Fence.objects.filter(chain=chains.here(), lifted_at=None)


def test_yes_when_one_of_them_finds_a_row_of_this_chain(settings: Settings) -> None:
    settings.CHAINS = TWO
    either = AnyOf(houses, fences)
    assert not either.exists()
    Deployment.objects.create(name="Factory", address="0x01", block_number=1)
    assert not either.exists()
    with chains.on("other"):
        Fence.objects.create(reason="restored")
        assert either.exists()
    assert not either.exists()
    Deployment.objects.create(name="House", address="0x02", block_number=1)
    assert either.exists()
