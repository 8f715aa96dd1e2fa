"""Small real worlds for tests: parties, cells, assets, money in vaults. Through the product's own code paths."""

from intermediary.ids import uuid7
from intermediary.ledger import Line, post
from intermediary.models import AccountKind, Asset, Cell, JournalEntry, Party


def assets() -> tuple[Asset, Asset]:
    """USDC (settlement, 6 decimals) and WBTC (collateral, 8 decimals)."""
    usdc, _ = Asset.objects.get_or_create(code="USDC", defaults={"decimals": 6, "is_settlement": True})
    wbtc, _ = Asset.objects.get_or_create(code="WBTC", defaults={"decimals": 8, "priced_as": "BTC"})
    return usdc, wbtc


def client_cell(code: str) -> Cell:
    """A client relationship with a party of its own."""
    party = Party.objects.create(legal_name=f"Client {code}", code=f"P-{code}", kind=Party.Kind.FUND, jurisdiction="KY")
    return Cell.objects.create(code=code, kind=Cell.Kind.CLIENT, party=party)


def deposit(cell: Cell, amount_base_units: int, asset: str = "USDC") -> JournalEntry:
    """Tokens that reached the cell's vault."""
    return post(
        entry_id=uuid7(),
        cell_id=cell.id,
        kind="deposit",
        memo="deposit",
        lines=[
            Line(AccountKind.OUTSIDE, asset, -amount_base_units),
            Line(AccountKind.CLIENT_MARGIN, asset, amount_base_units),
        ],
    )
