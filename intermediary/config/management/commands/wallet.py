"""`manage.py wallet`: the demo's wallets, a process of its own so that no other holds a client's key.

It plays the clients that nobody plays, and answers the portal as the wallet of the person in front of it.
"""

import logging
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intermediary import clock
from intermediary.config.demo import keys, wallet, world
from intermediary.config.demo.wallet_rpc import WalletRpc
from intermediary.config.demo.wallet_server import serving
from intermediary.config.models import Replay
from intermediary.config.stopping import ended_by_sigterm
from intermediary.errors import Refusal
from settlement.chain import Chain, default_chain

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.25  # the replay waits for the wallets at every step of its clock


class Command(BaseCommand):
    help = "Play the demo's clients, and be the wallet of whoever plays one in a browser."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, required=True, help="where it answers the portal, on the loopback")
        parser.add_argument("--origin", action="append", required=True, help="an origin of the portal; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        with ended_by_sigterm(), ExitStack() as stack:
            chain = default_chain()
            rpc = WalletRpc(chain.url, keys.people(world.DEMO))
            try:
                stack.enter_context(serving(options["port"], rpc, frozenset(options["origin"])))
            except OSError as error:
                raise CommandError(f"The wallet cannot answer on port {options['port']}: {error.strerror}.") from error
            _play(chain)


def _play(chain: Chain) -> None:
    while True:
        try:
            looked_at = clock.now()
            wallet.step(chain, world.DEMO, mine=None)
            Replay.objects.update(wallets_looked_at=looked_at)
        except Refusal as refusal:
            logger.warning("will try again: %s", refusal)
        time.sleep(POLL_SECONDS)
