"""The margin period of one relationship: how long its book may move before it is closed out, by its signed terms.

From the last valuation that was still paid to the end of the close-out: the valuation interval, the time to answer a
call (acknowledgement is part of the time to deliver: both run from its issue), grace, the decision of two officers, the
time to cure, and the run-down that the liquidity charge leaves to the period. Never below the ruleset's floor.
Whoever signs quicker terms has the shorter period and the smaller requirement.
"""

from math import ceil

from intermediary.terms import Terms
from risk.margin.ruleset import MINUTES_A_DAY, of_period, ruleset


def margin_period_minutes(terms: Terms, ruleset_name: str) -> dict[str, int]:
    """The parts of the period under this ruleset, in their order; floor and whole hours apart."""
    rules = ruleset(ruleset_name)
    return {
        "valuation": terms.valuation_minutes,
        "delivery": max(terms.acknowledge_minutes, terms.deliver_minutes),
        "grace": terms.grace_minutes,
        "decision": rules.decision_minutes,
        "cure": terms.cure_minutes,
        "run_down": round(rules.liquidity_days_in_mpor * MINUTES_A_DAY),
    }


def rules_of(terms: Terms, under: str | None = None) -> str:
    """The name under which `ruleset` gives the signed ruleset, or `under` another one, over the period of these terms:
    in whole hours, rounded up, so that relationships with like terms are computed together."""
    name = under or terms.ruleset
    rules = ruleset(name)
    if not rules.mpor_by_terms:
        return name
    hours = ceil(sum(margin_period_minutes(terms, name).values()) / 60)
    return of_period(name, hours) if hours > rules.mpor_hours else name
