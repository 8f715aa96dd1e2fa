"""Securitised tail risk: notes that bear one layer of loss of one relationship, or a basket of such slices.

Nothing is imported here or in the packages below, so that the web and the settlement processes can use `loss.tranches`
and `pricing.coupons` (standard library only) without loading numpy, scipy or QuantLib, which only the risk and bonds
workers may do.
"""
