"""Three clients with requirements whose movements settled in one batch: three leaves under one root on a chain.

The one in the middle has a dust break of its own, the last one a larger one. A person acts for each; one is an officer.
"""

from intermediary import clock
from intermediary.config.officers import make_officer
from intermediary.models import MarginState, Valuation
from settlement.chain import Chain
from settlement.cycle import settle_all
from tests.people import as_owner, member, person
from tests.settlement.world import MILLION, Client, client, debit, deposit, grow, house_with_contracts, on_chain

CODES = ("W", "M", "N")
OFFICER, DUST, MORE = "officer.maker", 3, 5_000_000


def three_told() -> tuple[str, Client]:
    """The world; the client in the middle of the three."""

    def build(chain: Chain) -> Client:
        house_with_contracts(chain.url)
        made = [client(chain, code, index) for index, code in enumerate(CODES)]
        for who in made:
            deposit(chain, who, 5 * MILLION)
        settle_all(chain=chain)
        valuation = Valuation.objects.create(as_of=clock.now(), source="test", snapshot_id="5" * 64, prices="{}")
        for index, who in enumerate(made):
            _require(who, valuation, exposure=-7 * index, required=2 * MILLION - 7 * index)
            debit(who, MILLION + index)
            member(person(f"client.{who.cell.code}", password="demo"), who.cell.party)
        for who, amount in ((made[1], DUST), (made[2], MORE)):
            grow(chain, who.targets["RETENTION"].address, amount)
        settle_all(chain=chain)
        officer = person(OFFICER, password="demo")
        with as_owner():
            make_officer(officer)
        return made[1]

    return on_chain(build)


def _require(who: Client, valuation: Valuation, *, exposure: int, required: int) -> None:
    """A requirement as a tick leaves it."""
    MarginState.objects.create(
        cell=who.cell,
        valuation=valuation,
        exposure_base_units=exposure,
        independent_amount_base_units=2 * MILLION,
        threshold_base_units=0,
        required_base_units=required,
        held_base_units=4 * MILLION,
        ruleset_hash="c3" * 32,
        breakdown={"lines": [], "total": "0"},
        admission={"passed": True},
    )
