"""What the commands of the chain's processes share: the chain they work on, by name."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from intermediary.config.operations.heartbeat import Reporter
from intermediary.errors import Refusal
from settlement import chains
from settlement.signer import Signer


class ChainCommand(BaseCommand):
    """A command that works on one chain: on that of `--chain`, else on the first that is configured."""

    requires_system_checks: list[str] = []  # they load every page; a process of the chain serves none

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--chain", default="", help="the chain to work on by its name (docs/chains.md)")

    def execute(self, *args: Any, **options: Any) -> Any:
        """Refuses `unknown_chain`, `no_chain_id`, `no_finality` and in production `one_node_only`, before anything."""
        with chains.on(options.get("chain") or ""):
            chains.require_witness()
            return super().execute(*args, **options)


def reporter(name: str) -> Reporter:
    """The reports of this process: those of another chain than the first say which, `poster@base`."""
    here = chains.here()
    return Reporter(name if here == chains.names()[0] else f"{name}@{here}")


def name_of(signer: Signer) -> str:
    """The address of a key, or why it cannot be told now: a signer that is away is waited for."""
    try:
        return signer.address
    except Refusal as error:
        return str(error)
