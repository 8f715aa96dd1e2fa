"""Figures of every note at each valuation, from the same models that set margin."""
