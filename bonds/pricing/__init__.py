"""Pure: what a note promises and is worth, by QuantLib and under named pricing measures."""
