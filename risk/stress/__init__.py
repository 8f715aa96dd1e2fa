"""Stress beyond the admission test: who would bear a loss, how far off the next call and each exhausted layer are, and
how large an exposure may become. Pure mathematics on the matrices of `risk.margin`; what is stored and shown is
`risk.stress_reports` and `risk.stress_queries`."""
