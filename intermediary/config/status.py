"""What the public pages say about chain and market; the composition root alone may ask `settlement` and `risk`."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from intermediary.errors import Refusal
from intermediary.models import Instrument, Mark, Valuation
from risk.market.feeds.pegs import SETTLEMENT_COIN
from risk.market.quality import MarkQuality, MarkState
from risk.models import ScenarioSource, Snapshot
from settlement import chains
from settlement.models import ChainBlock, Deployment, ReconciliationRun

RULEBOOK_CACHE_S = 60  # the rulebook on chain changes with a month's notice; a page must not cost a call each time


@dataclass(frozen=True)
class ChainFacts:
    """How far one chain was read, and whether it agrees with the ledger."""

    name: str
    head: int | None
    head_at: datetime | None
    finalized: int | None
    finalized_at: datetime | None
    run: ReconciliationRun | None


TITLES = {
    "AccessManager": "Access manager",
    "House": "House",
    "Token": "Token",
    "VaultFactory": "Factory of margin vaults",
    "Eligibility": "Register of eligible investors",
    "payee:market": "Account: the market that buys seized margin",
    "payee:costs": "Account: costs of close-outs",
}


@dataclass(frozen=True)
class Contract:
    """One contract, or account that the house may pay, by a name for people."""

    name: str
    asset: str | None
    address: str
    chain: str

    @property
    def title(self) -> str:
        """Its name in words."""
        return TITLES.get(self.name, self.name.replace(":", ": "))


def chain_facts() -> list[ChainFacts]:
    """Of each configured chain, in their order: the newest canonical and finalized blocks, the last reconciliation."""
    return [_facts_of(name) for name in chains.names()]


def _facts_of(name: str) -> ChainFacts:
    blocks = ChainBlock.everywhere.filter(chain=name, canonical=True).order_by("-number")
    head, final = blocks.first(), blocks.filter(finalized=True).first()
    return ChainFacts(
        name=name,
        head=head.number if head else None,
        head_at=head.block_time if head else None,
        finalized=final.number if final else None,
        finalized_at=final.block_time if final else None,
        run=ReconciliationRun.everywhere.filter(chain=name).order_by("-block_number", "-id").first(),
    )


def contracts() -> list[Contract]:
    """What stands on the configured chains, and the accounts outside that the houses may pay."""
    rows = Deployment.everywhere.filter(chain__in=chains.names()).order_by("chain", "name", "asset_id")
    return [Contract(*row) for row in rows.values_list("name", "asset_id", "address", "chain")]


@dataclass(frozen=True)
class DoubtfulMark:
    """A mark that is less than good: by how much, why, and on whose word it stands."""

    coin: str
    price: Decimal
    quality: MarkQuality

    @property
    def off_by(self) -> Decimal:
        """The uncertainty as a fraction of the price."""
        return Decimal(self.quality.uncertainty_bps) / 10_000


def doubtful_marks(snapshot_id: str) -> list[DoubtfulMark]:
    """Of one snapshot, USDC's too, the least certain first; none where one recorded source is, which judges nothing.

    Reads these figures alone: a page must not build a whole market, surfaces and all, on every request.
    """
    body = Snapshot.objects.filter(id=snapshot_id).values_list("body", flat=True).first()
    market = json.loads(body) if body else {}
    found = [
        DoubtfulMark(coin, Decimal(market["underlyings"][coin]["mark"]), MarkQuality.from_body(item))
        for coin, item in market.get("qualities", {}).items()
        if item["state"] != MarkState.GOOD
    ]
    peg = market.get("peg")
    if peg is not None and peg["quality"]["state"] != MarkState.GOOD:
        quality = MarkQuality.from_body(peg["quality"])
        found.append(DoubtfulMark(SETTLEMENT_COIN, Decimal(market["usdc_peg"]), quality))
    return sorted(found, key=lambda mark: (-mark.quality.uncertainty_bps, mark.coin))


def scenario_source() -> ScenarioSource | None:
    """Where the scenarios of the last official market come from; None before the first."""
    return ScenarioSource.objects.first()


def unmarked(valuation: Valuation) -> list[tuple[str, str]]:
    """Listed instruments without an official mark at this valuation, and why: nobody trades them, and who holds one
    waits."""
    without = Instrument.objects.exclude(id__in=Mark.objects.filter(valuation=valuation).values("instrument_id"))
    return [
        (one.code, "expired" if one.expiry and one.expiry <= valuation.as_of else f"no mark of {one.underlying}")
        for one in without
    ]


@dataclass(frozen=True)
class PublishedRulebook:
    """The hash a house contract names, or why it could not be read."""

    asset: str
    house: str
    hash: str
    problem: str = ""


def rulebook_on_chain() -> list[PublishedRulebook]:
    """What each house contract says; empty before anything is deployed."""
    houses = Deployment.everywhere.filter(name="House", asset__isnull=False, chain__in=chains.names())
    return [
        _read_rulebook(asset, address, chain, int(time.monotonic() // RULEBOOK_CACHE_S))
        for asset, address, chain in houses.order_by("asset_id").values_list("asset_id", "address", "chain")
    ]


@lru_cache(maxsize=64)
def _read_rulebook(asset: str, house: str, chain: str, _minute: int) -> PublishedRulebook:
    from settlement.bindings import read
    from settlement.chain import default_chain

    try:
        with chains.on(chain):
            found = read(default_chain(), house, "House", "rulebook")
    except Refusal as refusal:
        return PublishedRulebook(asset, house, "", refusal.message)
    return PublishedRulebook(asset, house, bytes(found).hex() if isinstance(found, bytes) else str(found))
