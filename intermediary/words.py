"""Names of what the ledger books and of what margin consists of, in words: for statements and tables that people read.

The codes themselves (`debit_instructed`, `client_margin`) stay in exports, where machines read them.
"""

from dataclasses import dataclass

from intermediary.models import AccountKind

STEPS = {"instructed": "instructed", "settled": "final"}
ENTRIES = {
    "deposit": "Deposit",
    "debit": "Variation margin to the intermediary",
    "credit": "Payment from the intermediary to the vault",
    "return": "Withdrawal",
    "seize": "Margin seized after default",
    "fund": "Retention set aside",
    "apply": "Loss paid by a retention",
    "restore": "Retention refilled by a recovery",
    "notice_loss": "Loss of a tail slice notified",
    "apply_loss": "Write-down of a tail slice",
    "write_up": "Write-up of a tail slice",
    "coupon": "Coupon",
    "repay": "Repayment of principal",
    "dispose": "Payment out of the house",
    "capital_contributed": "Capital contributed",
    "margin_spent": "Margin spent on the shortfall",
    "added_by_us": "Loss added by the intermediary's own choices",
    "recovery_received": "Recovery received",
    "cure_recovered": "Claim that the client paid on chain after the loss: a recovery",
    "recovery_to_float": "Recovery repaid to the liquidity float",
    "disposal_proceeds": "Proceeds of seized margin",
    "cured_by_client": "Claim paid to cure the default",
    "suspense_seized": "Tokens of an unknown sender, seized with the margin: kept for that sender",
    "stray_assigned": "Tokens that a stranger sent to the retention, given to a layer",
    "retention_released": "Retention released to the house",
    "uncovered": "UNCOVERED loss",
    "series_issued": "Principal of a tail slice placed in escrow",
    "series_paid": "Payment to noteholders",
    "series_matured": "Maturity of a series",
    "coupon_gap": "Gap of a coupon, paid by the intermediary",
    "recovery_retained": "Intermediary's own part of a recovery on the tail",
    "reserve_fell_short": "Loss beyond what was kept back of a series, borne by the intermediary",
    "loss_ruled_off": "Loss that a ruling left to the intermediary",
}
ACCOUNTS = {
    AccountKind.CLIENT_MARGIN: "Margin in the client's vault",
    AccountKind.SUSPENSE: "Suspense in the vault (sender not proved)",
    AccountKind.SUSPENSE_TAKEN: "Unknown senders' tokens that left the vault with the margin",
    AccountKind.HOUSE: "House, facing the relationship",
    AccountKind.FLOAT: "Liquidity float of the house",
    AccountKind.FEES: "Fees",
    AccountKind.INTEREST: "Interest",
    AccountKind.RECOVERY: "Recoveries not passed on",
    AccountKind.ROUNDING: "Rounding residues",
    AccountKind.FIRST_LOSS: "First loss retention",
    AccountKind.SENIOR_RETENTION: "Senior retention",
    AccountKind.ESCROW: "Tail slice, principal in escrow",
    AccountKind.COUPONS: "Tail slice, coupons in escrow",
    AccountKind.IN_TRANSIT: "On its way, not final",
    AccountKind.OUTSIDE: "Outside the platform",
    AccountKind.EQUITY: "Equity of the intermediary",
    AccountKind.CREDIT_EXTENDED: "Credit extended to the client",
    AccountKind.UNCOVERED_CLAIMS: "UNCOVERED claims of linked lots",
    AccountKind.COSTS: "Costs of close-out",
    AccountKind.LOSS: "Loss",
    AccountKind.VENUE: "Held at a venue",
}


@dataclass(frozen=True)
class MarginLine:
    """One line of the independent amount for its client: what it is and why it is asked for, and what makes it less."""

    title: str
    why: str
    smaller: str = ""

    def __str__(self) -> str:
        return self.title


MARGIN_LINES = {
    "expected_shortfall_99": MarginLine(
        "Expected shortfall 99%",
        "Mean loss of your whole book in the worst 1% of the scenarios, over the margin period: what a close-out costs"
        " in a bad market. Futures and options count at the period's end, with so much less time to run.",
        "Smaller or hedged positions; shorter times to deliver and of grace, down to the ruleset's least period.",
    ),
    "extreme_value_excess": MarginLine(
        "Extreme value excess",
        "What the 99.7% loss, read off a tail fitted to your worst scenarios, is beyond that mean: crashes reach"
        " further than the worst 1% that was seen.",
        "Fewer positions that lose most in the very worst scenarios, such as sold options.",
    ),
    "jump_excess": MarginLine(
        "Jump excess",
        "What the worst of three gaps would cost beyond the two lines above: 35% of what you lose in bitcoin and ether"
        " together at moves of up to 60%; the two other coins you lose most in, down to zero; or a broken peg. No"
        " history holds such a night, so it is a stated shock.",
        "Less of any one coin, above all of those beside bitcoin and ether; bought options against the gap.",
    ),
    "anti_procyclicality_buffer": MarginLine(
        "Buffer for wild markets",
        "Held while markets are calm and used up as volatility rises, so that your requirement rises later and less.",
        "It shrinks by itself as the volatility of your coins rises.",
    ),
    "liquidity_and_concentration": MarginLine(
        "Liquidity and concentration",
        "Half the spread, the price moved by selling your position at the pace that costs least, and the risk of a"
        " run-down that outlasts the margin period. It grows faster than the position: twice as much costs about 2.3"
        " times as much, and more where it cannot be sold within the period; most on a weekend, when less is traded.",
        "Less of one coin against its daily turnover; the same exposure spread over more coins.",
    ),
    "wrong_way_risk": MarginLine(
        "Wrong-way risk",
        "What the mean loss in the worst 5% gains when the scenarios in which clients fail weigh more: a book that"
        " loses when the whole market falls loses just when its owner is short of money.",
        "Less of what falls with the market, or a hedge of it. A book that gains then pays nothing here.",
    ),
}


def margin_line(name: str) -> MarginLine:
    """What a line of the independent amount is; one of an older ruleset has its name alone."""
    return MARGIN_LINES.get(name) or MarginLine(name.replace("_", " ").capitalize(), "")


def act(name: str) -> str:
    """What somebody did, as the audit trail names it: `call.pledge` is a pledge to a call."""
    subject, _, done = name.rpartition(".")
    words = f"{subject}: {done}" if subject else done
    return words.replace("_", " ").capitalize()


def entry(kind: str) -> str:
    """What a journal entry of this kind is, and how far it got: `debit_settled` is a debit that is final."""
    if kind in ENTRIES:
        return ENTRIES[kind]
    act, _, step = kind.rpartition("_")
    if act in ENTRIES and step in STEPS:
        return f"{ENTRIES[act]}, {STEPS[step]}"
    return kind.replace("_", " ").capitalize()


def account(kind: str) -> str:
    """What lies on an account of this kind."""
    return ACCOUNTS[AccountKind(kind)]
