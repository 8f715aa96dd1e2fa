"""Pages of investors."""
