"""Securitised tail risk: notes that bear one layer of loss of one relationship, or a basket of such slices.

Nothing is imported here, so that the web and the settlement processes can use `tranches` and `coupons` (standard
library only) without loading numpy, scipy or QuantLib, which only the risk and bonds workers may do.
"""
