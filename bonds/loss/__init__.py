"""Pure: how much principal a loss takes, and how likely that is."""
