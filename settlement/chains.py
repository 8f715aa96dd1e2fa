"""Which chains this platform works with, by configuration; nothing here talks to one.

A token, its house, factory and vaults lie on one chain, which has a name. Every process of settlement works on one
chain (`--chain`), with nodes of its own; what is not said means the first. `docs/chains.md` lists every setting.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from intermediary.errors import Refusal

ONLY_CHAIN = "main"  # what the chain of the CHAIN_* settings is called
_here: ContextVar[str] = ContextVar("chain_of_this_process", default="")


@dataclass(frozen=True)
class Token:
    """A token that exists already; what prices it is an underlying, or nothing for one dollar."""

    address: str
    is_settlement: bool
    priced_as: str


@dataclass(frozen=True)
class ChainSettings:
    """One chain: its nodes, the first to work with and the others as witnesses, and what to trust and to pay there."""

    name: str
    chain_id: int
    rpc_urls: tuple[str, ...]
    finality: str  # the tag of the last final block; empty where the chain has none
    confirmations: int  # a final block has at least so many above it
    tip_wei: int
    fee_cap_wei: int
    tokens: Mapping[str, Token]  # by asset code

    @property
    def is_witnessed(self) -> bool:
        """Whether nodes on two machines at least are asked: one alone can say anything."""
        return len({urlsplit(url).hostname for url in self.rpc_urls}) >= 2


def names() -> list[str]:
    """Every configured chain, the first being what is meant where none is named."""
    return list(settings.CHAINS) or [ONLY_CHAIN]


def here() -> str:
    """The chain this process works on."""
    return _here.get() or names()[0]


def asset_chains() -> list[str]:
    """What `Asset.chain` is for the tokens of the chain this process works on."""
    return [here(), ""] if here() == names()[0] else [here()]


@contextmanager
def on(name: str) -> Iterator[None]:
    """For one block, work on the chain of this name; empty means as before. Refuses `unknown_chain`."""
    before = _here.set(configured(name).name)
    try:
        yield
    finally:
        _here.reset(before)


def configured(name: str = "") -> ChainSettings:
    """The settings of a chain, of this process's when none is named. Refuses `unknown_chain`, `no_chain_id` where
    nothing says which chain the nodes must be of, and `no_finality`."""
    wanted = name or here()
    if wanted not in names():
        raise Refusal("unknown_chain", f"No chain is called {wanted}; there are {', '.join(names())}.", name=wanted)
    found = _from(wanted, settings.CHAINS[wanted] if settings.CHAINS else _only())
    if not found.chain_id:
        raise Refusal("no_chain_id", f"Nothing says which id chain {wanted} has (CHAIN_ID).")
    if not found.finality and not found.confirmations:
        raise Refusal("no_finality", f"Nothing says when a block of chain {wanted} is final.")
    return found


def require_witness() -> None:
    """Refuses `one_node_only`: in production nothing is booked or sent on the word of one node."""
    rules = configured()
    if settings.MODE == "production" and not rules.is_witnessed:
        raise Refusal(
            "one_node_only",
            f"The nodes of chain {rules.name} are on one machine ({len(rules.rpc_urls)} configured); production needs"
            " another, of a second operator, that must agree on every final block (CHAIN_RPC_URLS).",
            chain=rules.name,
            nodes=len(rules.rpc_urls),
        )


def _only() -> dict[str, Any]:
    return {
        "id": settings.CHAIN_ID,
        "rpc_urls": settings.CHAIN_RPC_URLS,
        "finality": settings.CHAIN_FINALITY,
        "confirmations": settings.CHAIN_CONFIRMATIONS,
        "tip_wei": settings.CHAIN_TIP_WEI,
        "fee_cap_wei": settings.CHAIN_FEE_CAP_WEI,
        "tokens": settings.CHAIN_TOKENS,
    }


def _from(name: str, said: Mapping[str, Any]) -> ChainSettings:
    return ChainSettings(
        name=name,
        chain_id=int(said["id"]),
        rpc_urls=tuple(said["rpc_urls"]),
        finality=str(said.get("finality", "finalized")),
        confirmations=int(said.get("confirmations", 0)),
        tip_wei=int(said.get("tip_wei", settings.CHAIN_TIP_WEI)),
        fee_cap_wei=int(said.get("fee_cap_wei", settings.CHAIN_FEE_CAP_WEI)),
        tokens={code: _token(text) for code, text in said.get("tokens", {}).items()},
    )


def _token(said: str) -> Token:
    """From `0x…`, `0x…:settlement` or `0x…:BTC`."""
    address, _, what = said.partition(":")
    return Token(address, what == "settlement", "" if what == "settlement" else what)
