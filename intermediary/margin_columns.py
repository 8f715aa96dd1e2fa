"""The margin of many relationships as columns: what it is worth, and whether vaults lock what they should.

Worth is exact, as `collateral.value_of_holdings`. What a vault should lock (`vaults.requirements`) is asked of floats
first: where they say that the number is right, and are sure, nothing is due. The others are for `vaults` to find out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intermediary.collateral import price_of, value_of_holdings, worth_ratio
from intermediary.models import Asset, Valuation
from intermediary.standings import Standing
from intermediary.vaults import caps_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

# How far the float and the exact number of a vault may lie apart: settlement base units that rounding takes on the way,
# a share of the amounts, and base units of the token itself.
ROUNDED, SHARE, BASE_UNITS = 100_000, 1e-11, 2


@dataclass(frozen=True, eq=False)
class MarginColumns:
    """Of A relationships in K tokens, in the order in which these are locked; amounts in base units.

    `held` and `in_force` (what the vaults lock; nan without a vault) (A, K), `counts` the share after haircut, nought
    for what the terms do not count, `touched` whether something is held or locked, `cap` the most that may be locked.
    `unit` (A,) of the terms.
    `plain` (A,) the worth of tokens that are a dollar; `priced` of the others, by relationship: amount, token, haircut.
    """

    tokens: Sequence[Asset]
    held: Floats
    in_force: Floats
    counts: Floats
    touched: Flags
    unit: Floats
    cap: Floats
    plain: Integers
    priced: dict[int, Sequence[tuple[int, str, int]]]

    @classmethod
    def of(cls, standings: Sequence[Standing], assets: Mapping[str, Asset]) -> "MarginColumns":
        """Those of these relationships; whoever has no terms has nothing that counts. `assets` are all there are."""
        tokens = sorted(assets.values(), key=lambda asset: (not asset.is_settlement, asset.code))
        count, shape = len(standings), (len(standings), len(tokens))
        made = cls(
            tokens=tokens,
            held=np.zeros(shape),
            in_force=np.zeros(shape),
            counts=np.zeros(shape),
            touched=np.zeros(shape, dtype=bool),
            unit=np.zeros(count),
            cap=np.zeros(shape),
            plain=np.zeros(count, dtype=np.int64),
            priced={},
        )
        made._fill(dict(enumerate(standings)))
        return made

    def with_changes(self, changed: Mapping[int, Standing]) -> "MarginColumns":
        """The same with these at their places."""
        made = MarginColumns(
            tokens=self.tokens,
            held=self.held.copy(),
            in_force=self.in_force.copy(),
            counts=self.counts.copy(),
            touched=self.touched.copy(),
            unit=self.unit.copy(),
            cap=self.cap.copy(),
            plain=self.plain.copy(),
            priced=self.priced.copy(),
        )
        made._fill(changed)
        return made

    def _fill(self, rows: Mapping[int, Standing]) -> None:
        place = {asset.code: index for index, asset in enumerate(self.tokens)}
        assets = {asset.code: asset for asset in self.tokens}
        for row, standing in rows.items():
            terms, holdings = standing.terms, standing.holdings if standing.terms is not None else {}
            self.in_force[row] = np.nan
            for vault in standing.vaults:
                self.in_force[row, place[vault.asset.code]] = vault.required_in_force
            most = caps_of(standing.vaults)
            self.touched[row] = [asset.code in standing.tokens for asset in self.tokens]
            self.held[row] = [holdings.get(asset.code, 0) for asset in self.tokens]
            self.priced.pop(row, None)
            if terms is None:
                self.counts[row] = self.unit[row] = self.cap[row] = self.plain[row] = 0
                continue
            self.unit[row] = terms.rounding_unit_base_units
            of_terms = {asset.code: terms.most_required(asset.code) for asset in self.tokens}
            self.cap[row] = [min(cap, most.get(code, cap)) for code, cap in of_terms.items()]
            self.counts[row] = [1.0 - terms.haircut_of(asset.code) / 10_000 for asset in self.tokens]
            dollars = {code: amount for code, amount in holdings.items() if not assets[code].priced_as}
            self.plain[row] = value_of_holdings(dollars, None, terms, assets)
            counting = [
                (amount, code, terms.haircut_of(code))
                for code, amount in holdings.items()
                if code not in dollars and amount and terms.haircut_of(code) < 10_000
            ]
            if counting:
                self.priced[row] = counting

    def is_priced(self, valuation: Valuation) -> Flags:
        """(A,) whether everything that is held or locked has a price."""
        without = [bool(asset.priced_as) and asset.priced_as not in valuation.prices for asset in self.tokens]
        priced: Flags = ~np.any(self.touched & np.array(without), axis=1)
        return priced

    def worth(self, valuation: Valuation) -> Integers:
        """(A,) `value_of_holdings` at this valuation; of those that are not priced without what has no price."""
        by_code = {asset.code: asset for asset in self.tokens}
        known = {code for code, asset in by_code.items() if not asset.priced_as or asset.priced_as in valuation.prices}
        ratios: dict[tuple[str, int], tuple[int, int]] = {}
        found = self.plain.tolist()
        for row, held in self.priced.items():
            for amount, code, haircut_bps in held:
                if code not in known:
                    continue
                if (ratio := ratios.get((code, haircut_bps))) is None:
                    asset = by_code[code]
                    ratio = worth_ratio(asset, price_of(asset, valuation), haircut_bps, self.tokens[0])
                    ratios[code, haircut_bps] = ratio
                found[row] += amount * ratio[0] // ratio[1]
        return np.array(found, dtype=np.int64)

    def locks_right(self, required: Integers, valuation: Valuation) -> Flags:
        """(A,) whether every vault surely locks what `required` (A,) asks of it, or as nearly as nobody is instructed
        for: `vaults.requirements` would find nothing."""
        price = self._prices(valuation)
        missing = required.astype(np.float64)
        number = np.zeros_like(self.held)
        for token in range(len(self.tokens)):
            each = self.counts[:, token] * price[token]
            counted = each > 0.0
            asked = np.divide(np.maximum(missing, 0.0), each, out=np.zeros_like(missing), where=counted)
            number[:, token] = np.minimum(np.maximum(self.held[:, token], 0.0), asked)
            missing -= number[:, token] * each
        base = self.counts[:, 0] * price[0]
        number[:, 0] += np.divide(np.maximum(missing, 0.0), base, out=np.zeros_like(missing), where=base > 0.0)
        number = np.minimum(number, self.cap)
        off = np.where(np.isnan(self.in_force), 0.0, np.abs(number - self.in_force)) * price
        doubt = ROUNDED + SHARE * (required + (self.held * price).sum(axis=1))
        within = off + doubt[:, None] + BASE_UNITS * price <= self.unit[:, None]
        right: Flags = within.all(axis=1) & (base > 0.0)
        return right

    def _prices(self, valuation: Valuation) -> Floats:
        """(K,) settlement base units that a base unit stands for; nought without a price."""
        found = []
        for asset in self.tokens:
            known = not asset.priced_as or asset.priced_as in valuation.prices
            scale = 10.0 ** (self.tokens[0].decimals - asset.decimals)
            found.append(float(price_of(asset, valuation)) * scale if known else 0.0)
        return np.array(found)
