"""Which key holds which role of the contracts, and the address of each: setting rights needs no one's key but the
administrator's.

In production an address is stated (`SETTLEMENT_<KEY>_ADDRESS`), so that the machine that deploys holds none of the
others; a published key of the demonstration is refused, and those that check each other must differ.
"""

import os
from itertools import combinations

from eth_utils.address import is_address, to_checksum_address

from intermediary.errors import Refusal
from settlement.signer import refuse_published, signer_for

# The operator acts through the outbox only; set-up keys never touch money.
HOLDERS: dict[str, tuple[str, ...]] = {
    "POSTER": ("poster",),
    "APPROVER": ("approver",),
    "DEFAULTS": ("operator",),
    "ONBOARDER": ("onboarder", "structurer"),
    "TREASURER": ("operator",),
    "DISPOSER": ("operator",),
    "RULEMAKER": ("onboarder",),
    "CAP_KEEPER": ("operator",),
    "SERVICER": ("operator", "onboarder"),
    "STRUCTURER": ("structurer",),
    "TRUSTEE": ("trustee",),
    "EXPERT": ("expert",),
    "ENFORCER": ("enforcer",),
    "REGISTRAR": ("structurer",),
}
PAYEES = ("market", "costs")  # accounts that a house may pay; they hold no role
# No two of these may be one key: who sends, who approves, who decides on defaults, who sets rights, who challenges a
# loss, and who rules on it.
APART = ("admin", "poster", "approver", "operator", "trustee", "expert")


def key_address(name: str) -> str:
    """The address of a key by its name. Refuses `no_key_configured`, `bad_address`, `demo_key_refused`."""
    stated = os.environ.get(f"SETTLEMENT_{name.upper()}_ADDRESS", "")
    if stated and not is_address(stated):
        raise Refusal("bad_address", f"SETTLEMENT_{name.upper()}_ADDRESS is no address.")
    found = str(to_checksum_address(stated)) if stated else signer_for(name).address
    refuse_published(name, found)
    return found


def require_apart() -> None:
    """Refuses `keys_not_apart` when keys that check each other are one."""
    addresses = {name: key_address(name) for name in APART}
    same = [f"{one} and {other}" for one, other in combinations(APART, 2) if addresses[one] == addresses[other]]
    if same:
        raise Refusal("keys_not_apart", f"These must be different keys: {', '.join(same)}.", same=same)
