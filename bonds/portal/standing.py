"""Whether the reader may hold notes: its wallets with what decides about them, its applications, what it asked for."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from bonds.models import EligibilityApplication, EligibleWallet
from bonds.offering import eligibility
from intermediary.models import CommandRequest, Party, Wallet

ASKED = ("apply_eligibility", "prove_holder_wallet")
APPLICATIONS_SHOWN = 10  # a few years of renewals


@dataclass(frozen=True)
class Standing:
    """One wallet: the newest grant, and what that means now."""

    wallet: Wallet
    grant: EligibleWallet | None
    now: datetime

    @property
    def state(self) -> str:
        """NONE, EXPIRED, WAITING (granted, not in the register yet), SOON (to be renewed) or ELIGIBLE."""
        if self.grant is None:
            return "NONE"
        if self.grant.valid_until < self.now:
            return "EXPIRED"
        if self.grant.state != EligibleWallet.State.ENTERED:
            return "WAITING"
        return "SOON" if self.grant.valid_until < self.now + eligibility.SOON else "ELIGIBLE"


def wallets_of(party: Party, now: datetime) -> list[Standing]:
    """The party's wallets in the order they were proved."""
    return [
        Standing(wallet, eligibility.newest(wallet.id), now)
        for wallet in Wallet.objects.filter(party=party).order_by("at", "id")
    ]


def applications_of(party: Party) -> list[EligibilityApplication]:
    """What the party applied for, newest first."""
    rows = EligibilityApplication.objects.filter(party=party).select_related("wallet")
    return list(rows[:APPLICATIONS_SHOWN])


def asked_by(user: User, *commands: str) -> CommandRequest | None:
    """The reader's last wish of these commands, with what became of it."""
    return CommandRequest.objects.filter(user=user, command__in=commands).order_by("-id").first()
