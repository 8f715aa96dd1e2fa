"""Who holds which key in the demo: one wallet a client, one an investor, the market that buys sold margin, the estate
of a defaulter. Derived from a public phrase, so worth nothing anywhere else; refused outside the demo and tests.
"""

from intermediary.config.demo.world import Cast
from settlement.signer import Signer, demo_signer, demo_wallet

FIRST_INVESTOR, ESTATE, FIRST_SPARE = 20, 40, 60  # apart from the clients' indices, with room to grow


def username_of(client_key: str) -> str:
    """The log-in of a client's person."""
    return f"client.{client_key}"


def people(cast: Cast) -> dict[str, tuple[Signer, ...]]:
    """Whose wallet holds what: log-in of a client's or an investor's person to its keys, the one in use first."""
    clients = {username_of(one.key): (client(cast, one.key), spare(cast, one.key)) for one in cast.clients}
    return clients | {f"investor.{one.key}": (investor(cast, one.key),) for one in cast.investors}


def client(cast: Cast, key: str) -> Signer:
    """The wallet of a client, by its key in the cast."""
    return demo_wallet(cast.client_number(key))


def spare(cast: Cast, key: str) -> Signer:
    """A second address of a client, empty and not proved yet."""
    return demo_wallet(FIRST_SPARE + cast.client_number(key))


def investor(cast: Cast, key: str) -> Signer:
    """The wallet of an investor, by its key in the cast."""
    return demo_wallet(FIRST_INVESTOR + cast.investor_number(key))


def estate() -> Signer:
    """The estate that pays on a defaulter's debt."""
    return demo_wallet(ESTATE)


def market() -> Signer:
    """The disposal desk: buys seized tokens."""
    return demo_signer("market")


def house() -> Signer:
    """The intermediary's own signature on agreements."""
    return demo_signer("house")
