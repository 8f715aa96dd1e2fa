"""What anyone may read without signing in."""
