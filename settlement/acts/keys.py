"""The keys of acts that an environment holds. The poster's, operator's and approver's are their own processes'."""

import os

from django.conf import settings

from settlement.holders import HOLDERS

OF_OTHER_PROCESSES = ("poster", "operator", "approver")
KEYS = tuple(sorted({"admin", *(key for holders in HOLDERS.values() for key in holders)} - {*OF_OTHER_PROCESSES}))


def here() -> list[str]:
    """The keys of set-up that this environment has; in a demonstration everyone has all of them."""
    if settings.MODE != "production":
        return list(KEYS)
    named = (f"SETTLEMENT_{key.upper()}" for key in KEYS)
    held = [any(os.environ.get(f"{name}_{how}") for how in ("SIGNER", "KEYSTORE")) for name in named]
    return [key for key, is_held in zip(KEYS, held, strict=True) if is_held]
