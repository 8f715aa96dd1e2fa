"""Rows of one chain: a process that works on a chain sees its blocks, contracts and comparisons, and no other's."""

from typing import TypeVar

from django.db import models

from settlement import chains

M = TypeVar("M", bound=models.Model)


class OfThisChain(models.Manager[M]):
    """The rows of the chain that this process works on. `everywhere`, beside it on each model, has those of all."""

    def get_queryset(self) -> models.QuerySet[M]:
        return super().get_queryset().filter(chain=chains.here())
