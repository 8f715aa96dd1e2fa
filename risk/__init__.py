"""Real-time risk, off chain: what each relationship could lose, and what it must therefore hold."""
