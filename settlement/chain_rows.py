"""Which rows a process sees: those of the chain it works on, its blocks, contracts and comparisons and no other's; and
of what nodes said, what they have not all denied since."""

from typing import TypeVar

from django.db import models

from settlement import chains

M = TypeVar("M", bound=models.Model)


class OfThisChain(models.Manager[M]):
    """The rows of the chain that this process works on. `everywhere`, beside it on each model, has those of all."""

    def get_queryset(self) -> models.QuerySet[M]:
        return super().get_queryset().filter(chain=chains.here())


class NotDenied(models.Manager[M]):
    """The logs that some node shows still. `ever_said`, beside it on the model, has also what none shows any more."""

    def get_queryset(self) -> models.QuerySet[M]:
        return super().get_queryset().filter(denied=False)
