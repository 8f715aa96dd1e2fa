"""Acts on chain in a demonstration: a worker carries them out with the published keys, as `manage.py chain_acts` does
with `--follow` on the machines that hold them.

It is the worker that follows sales with the same keys, one task at a time, so the two never offer one nonce twice. The
operator's acts are the poster's.
"""

from contextlib import closing

from django.conf import settings

from settlement import chains
from settlement.acts import driver, keys
from settlement.chain import default_chain
from settlement.demo_chain import fund_gas
from settlement.signer import signer_for


def step_if_any() -> int:
    """A round over the open acts of the first chain; how many transactions were sent. None in production, whose keys
    are elsewhere."""
    if settings.MODE == "production":
        return 0
    with chains.on(""):
        if not driver.open_acts():
            return 0
        signers = {key: signer_for(key) for key in keys.here()}
        with closing(default_chain()) as chain:
            fund_gas(chain, *(signer.address for signer in signers.values()))
            return driver.step(chain, signers)
