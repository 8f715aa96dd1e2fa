"""Names of what the ledger books, in the words of the agreement: for statements and tables that people read.

The codes themselves (`debit_instructed`, `client_margin`) stay in exports, where machines read them.
"""

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
    "recovery_to_float": "Recovery repaid to the liquidity float",
    "disposal_proceeds": "Proceeds of seized margin",
    "cured_by_client": "Claim paid to cure the default",
    "uncovered": "UNCOVERED loss",
    "series_issued": "Principal of a tail slice placed in escrow",
    "series_paid": "Payment to noteholders",
    "series_matured": "Maturity of a series",
}
ACCOUNTS = {
    AccountKind.CLIENT_MARGIN: "Margin in the client's vault",
    AccountKind.SUSPENSE: "Suspense in the vault (sender not proved)",
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
