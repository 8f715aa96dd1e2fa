"""A coupon in words, the same on every page and in the PDF: what it is, to whom it goes, who pays which part of it."""

from bonds.offering.terms import RECORD_BUSINESS_DAYS, SeriesTerms

FLOATING = (
    "the overnight dollar rate (SOFR) of each day, as the last official valuation of that day has it: simple interest,"
    " not compounded"
)

RECORD = (
    "To whoever holds the units in the block of its payment, made as the payment date begins (UTC): on working days"
    " that is the end of the record date, one business day before. A coupon that is paid late, up to five days after"
    " its date, goes to the holders of that later moment: the record moves with the payment."
)


def coupon(terms: SeriesTerms) -> str:
    """What is paid, without when."""
    return f"the spread that clears the book plus {beside(terms)}"


def beside(terms: SeriesTerms) -> str:
    """The part that no bid is about."""
    return FLOATING if terms.coupon_kind == "SOFR" else f"a yield of {100 * terms.collateral_yield_annual:.2f}%"


def payer(terms: SeriesTerms) -> str:
    """Whose money it is. The token in the escrow earns nothing, so the yield is a promise and not an income."""
    return (
        "The covered clients pay the spread, a month ahead, out of margin that they have free. The yield beside it is"
        f" promised by the intermediary: the escrow holds {terms.currency} itself, which earns nothing there, so the"
        " intermediary pays the yield out of its own money, and whatever of the spread did not come in. For coupons you"
        " rely on its credit; principal lies in the escrow. Of a coupon that is not paid you are told on the next day;"
        " five days after its date the risk period ends and principal is repaid, less what is kept back for defaults"
        " already noticed."
    )


def record(terms: SeriesTerms) -> str:
    """To whom it goes. Older terms may name a record date that no contract keeps; then the words say so."""
    if terms.record_business_days == RECORD_BUSINESS_DAYS:
        return RECORD
    return (
        f"{RECORD} These terms name {terms.record_business_days} business days before, which the contract cannot keep."
    )


def kept_back(terms: SeriesTerms) -> str:
    """What principal earns that is kept back past the scheduled maturity."""
    return (
        f"No coupon is earned after {terms.scheduled_maturity:%-d %B %Y}: principal that is kept back past that day"
        " earns neither spread nor yield until it is repaid or written down, however long that takes."
    )
