"""The terms of a series: everything that decides what a note pays, as one value that is hashed and published.

What is not known when a series is structured (the spread that clears, the addresses of its contracts) stands beside
the terms in the database, never in them. Amounts are base units of the settlement token; dates are UTC days. The hash
is that of the whole body, every field of it; the terms of a series written before a field existed mean the field's
default (`terms_from`). The file needs the standard library only: what needs a calendar is refused in `structuring`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

from bonds.offering.isin import is_isin
from intermediary.canonical import canonical_json, hash_of
from intermediary.errors import BadInput
from intermediary.ids import derive

BPS = 10_000
RECORD_BUSINESS_DAYS = 1  # the contract pays the units of its own block: no other record date can be kept
RETAINED_BPS_MAX = 2_000  # no funded layer stands behind what is retained, only the house's float
RETAINED_BPS_MIN = 500  # whoever sells a risk keeps at least a twentieth of it, as securitisation rules have it
TRANSFERS = (
    "units lie with eligible wallets of the register alone, and the notes of a series with no client that it covers and"
    " no affiliate of one; transfers rest for up to 14 days after a margin call of a covered client lapses, until its"
    " default is noticed or there is none; the enforcer can freeze units, or move them to an eligible wallet, after the"
    " public delay of its role, and they are paid all the same; the denomination binds at issue only, and whoever is no"
    " longer eligible keeps its notes and is paid, but can neither send nor receive any"
)
CouponKind = Literal["FIXED", "SOFR"]
SHA256 = re.compile(r"[0-9a-f]{64}")
# Of an estimated loss, what is kept back while it is not determined: up to so many months after the notice, then on.
ExtensionBuffers = tuple[tuple[int | None, Decimal], ...]
EXTENSION_BUFFERS: ExtensionBuffers = ((3, Decimal("1.5")), (6, Decimal("1.25")), (None, Decimal("1.0")))


@dataclass(frozen=True)
class ClassTerms:
    """One class of notes, listed junior first."""

    name: str
    symbol: str
    isin: str


@dataclass(frozen=True)
class SliceTerms:
    """A ring-fenced slice of one relationship: the layer [attach, detach) and the principal of each class, junior
    first. Classes lie end to end from `attach`; the intermediary keeps nothing of them unless `widths` are wider than
    `principals` (a retained vertical slice)."""

    cell_id: UUID
    relationship: str
    attach_base_units: int
    widths_base_units: tuple[int, ...]
    principals_base_units: tuple[int, ...]

    @property
    def detach_base_units(self) -> int:
        return self.attach_base_units + sum(self.widths_base_units)


@dataclass(frozen=True)
class SeriesTerms:
    """What investors buy.

    The coupon is the spread that clears the book plus, as `coupon_kind` says, `collateral_yield_annual` (FIXED) or the
    overnight rate of each day (SOFR; the yield of the terms is then what the first figures were made with). The
    intermediary pays what the collateral earns less than that.

    `retained_bps`: of every class' layer in every slice the intermediary keeps this share, so that it loses beside the
    notes; 0 is no vertical slice (a published example has none), anything else is at least `RETAINED_BPS_MIN`.
    `clean_up_call_bps`: below this share of the original principal a class may be redeemed early; 0 never.
    `loss_determination_days`: from the notice of a default to its determined loss, at most.
    `extension_buffers`: ((months since the notice, exclusive, or None for ever after), factor on an estimated loss).
    `long_stop`: the last day on which a recovery still reaches written-down units; None while anything may come.
    `record_business_days`: how many business days before a coupon's payment its holders are noted; the contract keeps
    `RECORD_BUSINESS_DAYS` alone, which is asked of new series (`composing`).
    `transfers`: who may hold units and when they pass on, in words, as `trigger` is.
    `document_hashes`: (title, SHA-256) of each document of the pack.
    """

    code: str
    title: str
    currency: str
    issue_date: date
    scheduled_maturity: date
    final_maturity: date
    collateral_yield_annual: Decimal
    denomination_base_units: int
    challenge_seconds: int
    expert_seconds: int
    maturity_grace_seconds: int
    classes: tuple[ClassTerms, ...]
    slices: tuple[SliceTerms, ...]
    months_between_coupons: int = 3
    day_count: str = "ACT/360"
    trigger: str = "declared default inside the risk period with determined net loss above the attachment point"
    coupon_kind: CouponKind = "FIXED"
    retained_bps: int = 0
    clean_up_call_bps: int = 0
    loss_determination_days: int = 180
    extension_buffers: ExtensionBuffers = EXTENSION_BUFFERS
    long_stop: date | None = None
    record_business_days: int = RECORD_BUSINESS_DAYS
    transfers: str = TRANSFERS
    document_hashes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.issue_date < self.scheduled_maturity <= self.final_maturity:
            raise BadInput("bonds.dates", "A series is issued, then matures, and extends at most to its final date.")
        if not self.classes or not self.slices:
            raise BadInput("bonds.empty", "A series needs at least one class and one slice.")
        if self.challenge_seconds + self.expert_seconds >= self.maturity_grace_seconds:
            raise BadInput("bonds.grace", "A loss noticed on the last day must be decided before the grace ends.")
        covered = [item.cell_id for item in self.slices]
        if len(set(covered)) != len(covered):
            raise BadInput("bonds.one_slice_each", "A series has one slice a relationship.")
        self._check_choices()
        self._check_times()
        self._check_names()
        for item in self.slices:
            self._check(item)

    def body(self) -> dict[str, Any]:
        """The plain JSON value that is hashed."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @property
    def canonical(self) -> str:
        return canonical_json(self.body())

    @property
    def hash(self) -> str:
        return hash_of(self.body())

    def slice_id(self, cell_id: UUID) -> UUID:
        """The id under which the relationship's tail layer names its slice; known before the series exists."""
        return slice_id_of(self.code, cell_id)

    def face_base_units(self, index: int) -> int:
        """Original principal of one class over all slices."""
        return sum(item.principals_base_units[index] for item in self.slices)

    @property
    def risk_from(self) -> datetime:
        """First moment of the risk period."""
        return datetime.combine(self.issue_date, time(), UTC)

    @property
    def risk_until(self) -> datetime:
        """End of the risk period: a default noticed later never writes anything down (B5)."""
        return datetime.combine(self.scheduled_maturity, time(), UTC)

    @property
    def final_at(self) -> datetime:
        """The last moment at which a loss can be noticed on chain."""
        return datetime.combine(self.final_maturity, time(), UTC) + timedelta(days=1)

    def _check_choices(self) -> None:
        if self.coupon_kind not in ("FIXED", "SOFR"):
            raise BadInput("bonds.coupon_kind", "A coupon is fixed or follows the overnight rate.")
        if self.retained_bps and not RETAINED_BPS_MIN <= self.retained_bps < BPS:
            raise BadInput(
                "bonds.retention",
                f"The intermediary keeps at least {RETAINED_BPS_MIN} basis points of every slice, and never all of it.",
                retained_bps=self.retained_bps,
            )
        if not 0 <= self.clean_up_call_bps < BPS:
            raise BadInput("bonds.clean_up_call", "A clean-up call comes below a share of the original principal.")

    def _check_times(self) -> None:
        if self.loss_determination_days < 1 or self.record_business_days < 0:
            raise BadInput("bonds.periods", "A loss takes days to determine; no record is taken after payment.")
        if self.scheduled_maturity + timedelta(days=self.loss_determination_days) > self.final_maturity:
            raise BadInput(
                "bonds.determination",
                "A loss noticed on the last day must be determined before the final maturity.",
                loss_determination_days=self.loss_determination_days,
                days_of_extension=(self.final_maturity - self.scheduled_maturity).days,
            )
        if self.long_stop is not None and self.long_stop < self.final_maturity:
            raise BadInput("bonds.long_stop", "Recovery rights do not end before the final maturity.")
        months = [until for until, _ in self.extension_buffers]
        factors = [factor for _, factor in self.extension_buffers]
        bounded = [until for until in months if until is not None]
        rising = all(earlier < later for earlier, later in pairwise([0, *bounded]))
        if months[-1:] != [None] or len(bounded) != len(months) - 1 or not rising:
            raise BadInput("bonds.extension", "The steps of an extension rise in months; the last one has no end.")
        if any(factor < 1 for factor in factors) or any(later > earlier for earlier, later in pairwise(factors)):
            raise BadInput("bonds.extension", "What is kept back falls with time, and never below the estimated loss.")

    def _check_names(self) -> None:
        for item in self.classes:
            if not is_isin(item.isin):
                raise BadInput("bonds.isin", "An ISIN has its form and its check digit.", isin=item.isin)
        for names in ([item.symbol for item in self.classes], [item.isin for item in self.classes]):
            if len(set(names)) != len(names):
                raise BadInput("bonds.class_names", "Every class has a symbol and an ISIN of its own.", names=names)
        for title, digest in self.document_hashes:
            if not title.strip() or not SHA256.fullmatch(digest):
                raise BadInput("bonds.document", "A document has a title and the SHA-256 of its bytes.", title=title)

    def _check(self, item: SliceTerms) -> None:
        if not len(item.widths_base_units) == len(item.principals_base_units) == len(self.classes):
            raise BadInput("bonds.classes", "A slice states the width and the principal of every class.")
        if item.attach_base_units < 0 or any(
            not 0 < principal <= width
            for width, principal in zip(item.widths_base_units, item.principals_base_units, strict=True)
        ):
            raise BadInput("bonds.principal", "The principal of a class is positive and within its layer.")
        for width, principal in zip(item.widths_base_units, item.principals_base_units, strict=True):
            if not 0 <= width * (BPS - self.retained_bps) - principal * BPS < self.denomination_base_units * BPS:
                raise BadInput(
                    "bonds.vertical",
                    "The intermediary keeps the same share of every class, to the denomination.",
                    retained_bps=self.retained_bps,
                    width_base_units=width,
                    principal_base_units=principal,
                )


@lru_cache(maxsize=256)  # every mark, coupon and page of a series asks again; the text never changes
def terms_from(canonical: str) -> SeriesTerms:
    """The terms as a value from their stored text (`Series.terms`); what the text does not say is at its default."""
    body = json.loads(canonical)
    known = {field.name for field in fields(SeriesTerms)}
    return SeriesTerms(**{key: _READ.get(key, _as_is)(value) for key, value in body.items() if key in known})


def slice_id_of(series_code: str, cell_id: UUID) -> UUID:
    """The id of a series' slice of one relationship."""
    return derive("slice", series_code, cell_id)


def _as_is(value: Any) -> Any:
    return value


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def _slice(value: Mapping[str, Any]) -> SliceTerms:
    return SliceTerms(
        cell_id=UUID(value["cell_id"]),
        relationship=value["relationship"],
        attach_base_units=value["attach_base_units"],
        widths_base_units=tuple(value["widths_base_units"]),
        principals_base_units=tuple(value["principals_base_units"]),
    )


_READ: dict[str, Callable[[Any], Any]] = {
    "issue_date": _day,
    "scheduled_maturity": _day,
    "final_maturity": _day,
    "long_stop": _day,
    "collateral_yield_annual": Decimal,
    "classes": lambda rows: tuple(ClassTerms(**row) for row in rows),
    "slices": lambda rows: tuple(_slice(row) for row in rows),
    "extension_buffers": lambda rows: tuple((months, Decimal(factor)) for months, factor in rows),
    "document_hashes": lambda rows: tuple((title, digest) for title, digest in rows),
}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
