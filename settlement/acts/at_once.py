"""Steps carried out in one go by one process that holds every key: of the demonstration, and of tests.

Nothing is stored on the way and no delay of a role is waited for. In production `settlement.acts.driver` carries out
the same steps.
"""

from collections.abc import Callable

from settlement.acts.steps import Made, Steps, Wait
from settlement.chain import Chain
from settlement.signer import signer_for
from settlement.transactor import Mine, Transactor


def carry_out(chain: Chain, steps_of: Callable[[Made], Steps], mine: Mine | None) -> Made:
    """Send every step, waiting where another key or a new contract comes next; the contracts that were made."""
    made: Made = {}
    keys: dict[str, Transactor] = {}
    last: Transactor | None = None
    for step in steps_of(made):
        assert not isinstance(step, Wait), "nobody else has anything to do here"
        key = keys.setdefault(step.key, Transactor(chain, signer_for(step.key), mine))
        if last is not None and (last is not key or step.makes):
            last.wait()
        last = key
        if step.makes:
            made[step.label] = key.deploy(step.name, *step.arguments)
        else:
            key.call(step.to, step.name, step.function, *step.arguments)
    if last is not None:
        last.wait()
    return made
