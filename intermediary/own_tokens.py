"""A relationship's own tokens wherever they are. What an unknown sender paid into its vault is not among them, not even
while it goes back there from the house, in transit as all that moves."""

from collections.abc import Collection
from uuid import UUID

from intermediary.models import Account, AccountKind, ChainInstruction

OWN = (AccountKind.CLIENT_MARGIN, AccountKind.HOUSE, AccountKind.IN_TRANSIT)
Tokens = dict[tuple[UUID, str], int]  # base units by cell and token


def margin(cell_ids: Collection[UUID]) -> Tokens:
    """Margin in the vault, seized, or on its way."""
    found: Tokens = {}
    accounts = Account.objects.filter(cell_id__among=cell_ids, kind__in=OWN)
    for cell_id, code, balance in accounts.values_list("cell_id", "asset_id", "balance_base_units"):
        found[cell_id, code] = found.get((cell_id, code), 0) + balance
    for place, amount in strangers_on_the_way(cell_ids).items():
        found[place] -= amount
    return found


def strangers_on_the_way(cell_ids: Collection[UUID]) -> Tokens:
    """What a cure or a seizure took of suspense and is on its way back. Usually of nobody, and then that is all that is
    asked."""
    taken = Account.objects.filter(cell_id__among=cell_ids, kind=AccountKind.SUSPENSE_TAKEN)
    cells = set(taken.values_list("cell_id", flat=True))
    if not cells:
        return {}
    back = ChainInstruction.objects.filter(is_open=True, kind=ChainInstruction.Kind.CREDIT, cell_id__among=cells)
    back = back.filter(arguments__destination=AccountKind.SUSPENSE.value)
    found: Tokens = {}
    for cell_id, code, amount in back.values_list("cell_id", "target__asset_id", "amount_base_units"):
        found[cell_id, code] = found.get((cell_id, code), 0) + amount
    return found
