"""The market as the platform sees it: immutable dated snapshots, the feeds that make them, recorded history."""
