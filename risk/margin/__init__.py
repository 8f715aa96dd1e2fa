"""Margin mathematics: pure functions of a snapshot, a ruleset, scenarios and positions. No clock, no database."""
