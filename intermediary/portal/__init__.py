"""The client's own pages: they read, and they store wishes; commands run in the workers."""
