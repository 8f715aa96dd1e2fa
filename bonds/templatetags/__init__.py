"""Template tags of the pages about notes."""
