"""What `manage.py check --deploy` says about chains and keys: everything that would stop the processes of settlement,
or let them trust one node alone, before they are started."""

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from intermediary.errors import Refusal
from settlement import chains
from settlement.chains import ChainSettings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
DEMO_IDS = (1337, 31337)


@register(deploy=True)
def chains_are_safe(app_configs: Any, **options: Any) -> Sequence[CheckMessage]:
    """Of every configured chain; in production only, which a demonstration is not."""
    if settings.MODE != "production":
        return []
    found = list(_keys())
    for name in chains.names():
        try:
            found += _of_chain(chains.configured(name))
        except Refusal as refused:
            found.append(Error(str(refused), id="settlement.E001"))
    return found


def _of_chain(rules: ChainSettings) -> Iterator[CheckMessage]:
    if not rules.rpc_urls:
        yield Error(f"Chain {rules.name} has no node.", hint="CHAIN_RPC_URLS", id="settlement.E002")
    elif not rules.is_witnessed:
        yield Error(
            f"Chain {rules.name} has one node: nobody bears out what it says.",
            hint="Name a second one, of another operator: they must agree on every final block.",
            id="settlement.E003",
        )
    for url in rules.rpc_urls:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            yield Error(f"The way to {parts.hostname} is open: anyone on it can lie.", id="settlement.E004")
    if rules.chain_id in DEMO_IDS:
        yield Error(f"Chain {rules.name} has the id of a demonstration, {rules.chain_id}.", id="settlement.E005")
    if not rules.tokens:
        yield Error(f"Chain {rules.name} has no token.", hint="CHAIN_TOKENS", id="settlement.E006")


def _keys() -> Iterator[CheckMessage]:
    """A process that serves pages holds no key, and one that sends does not approve."""
    held = sorted(
        name.removeprefix("SETTLEMENT_").rpartition("_")[0].lower()
        for name in os.environ
        if name.startswith("SETTLEMENT_") and name.endswith(("_KEYSTORE", "_SIGNER"))
    )
    if settings.DATABASE_ROLE == "web" and held:
        yield Error(f"The web process has keys: {', '.join(held)}.", id="settlement.E007")
    if "approver" in held and {"poster", "operator"} & set(held):
        yield Error("One environment has the approver's key and a key that sends.", id="settlement.E008")
