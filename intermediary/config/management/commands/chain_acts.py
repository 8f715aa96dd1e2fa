"""`manage.py chain_acts [--chain NAME] [--execute | --follow] [--key KEY]`: acts on chain that two people decided on.

Without more it lists them: how far each is, whose key is next, and from when on what is scheduled may be done. With
`--execute` it does everything that can be done now with the keys of this environment, and ends; with `--follow` it goes
on until it is stopped. `--stop ACT --reason WHY --officer NAME` stops one: what is scheduled is taken back by the
administrator's key when it is here. `--messages RELATIONSHIP` prints what the client signs so that its vaults record
the terms in force. Role worker; the poster carries out what is the operator's, and a demonstration's worker the rest.
"""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from intermediary.config.chain_command import ChainCommand, name_of, reporter
from intermediary.errors import Refusal
from settlement import chains, fence, loops
from settlement.acts import driver, for_clients, keys, stopping
from settlement.chain import all_chains
from settlement.models import ChainAct
from settlement.signer import Signer, signer_for

SHOWN = 50  # finished ones; the table has all
POLL_SECONDS = 5.0  # half a block of a slow chain: what it waits for is mined, not told
ROUNDS_MAX, ROUND_SECONDS = 600, 1.0  # ten minutes: fifty blocks of a slow chain, more than any act has steps


class Command(ChainCommand):
    help = "List, carry out or stop acts on chain that two people decided on."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--execute", action="store_true", help="do what can be done now, and end")
        parser.add_argument("--follow", action="store_true", help="go on until stopped")
        parser.add_argument(
            "--key", action="append", default=[], choices=keys.KEYS, help="with this key only; may be repeated"
        )
        parser.add_argument("--stop", metavar="ACT", help="stop this act")
        parser.add_argument("--officer", default="", help="who stops it")
        parser.add_argument("--reason", default="", help="why it is stopped")
        parser.add_argument("--messages", metavar="RELATIONSHIP", help="print what the client of it signs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except Refusal as refused:
            raise CommandError(str(refused)) from refused

    def _handle(self, options: dict[str, Any]) -> None:
        if options["messages"]:
            messages = for_clients.messages(all_chains()[0], options["messages"])
            self.stdout.write(json.dumps(messages, indent=1))
            return
        if options["stop"]:
            self._stop(options)
        if options["execute"] or options["follow"]:
            self._carry_out(options)
        self._list()

    def _stop(self, options: dict[str, Any]) -> None:
        officer = User.objects.filter(username=options["officer"]).first()
        if officer is None:
            raise CommandError("--officer: no such person.")
        with transaction.atomic():
            stopping.ask(officer=officer, act_id=UUID(options["stop"]), reason=options["reason"])

    def _carry_out(self, options: dict[str, Any]) -> None:
        signers = {key: signer_for(key) for key in options["key"] or keys.here()}
        if not signers:
            raise CommandError(f"No key is configured here: {', '.join(keys.KEYS)} (docs/signer.md).")
        self.stdout.write(", ".join(f"{key} {name_of(signer)}" for key, signer in signers.items()))
        chain, sentry = all_chains()[0], fence.Sentry([])

        def step() -> int:
            sentry.step(chain)
            return driver.step(chain, signers)

        if options["follow"]:
            loops.run(step, listen=True, poll_seconds=POLL_SECONDS, told=reporter("acts"))
        else:
            _do_what_can_be_done(step, signers)

    def _list(self) -> None:
        acts = ChainAct.objects.filter(chain=chains.here()).select_related("proposal__cell")
        finished = acts.exclude(state__in=ChainAct.UNFINISHED)[:SHOWN]
        for act in [*acts.filter(state__in=ChainAct.UNFINISHED), *finished]:
            ready = f", from {act.ready_at:%Y-%m-%d %H:%M} UTC on" if act.ready_at else ""
            steps = f"{act.steps_done} of {act.steps_known} steps"
            said = "".join(f"; {part}" for part in (act.step, act.said) if part)
            self.stdout.write(f"{act.id}  {act.get_state_display()}: {act.get_kind_display()}, {steps}{said}{ready}")


def _do_what_can_be_done(step: Callable[[], int], signers: dict[str, Signer]) -> None:
    """Until a round sends nothing and nothing of these keys is on its way."""
    for _ in range(ROUNDS_MAX):
        if not step() and not driver.is_in_flight(signers):
            return
        loops.pause(ROUND_SECONDS)
