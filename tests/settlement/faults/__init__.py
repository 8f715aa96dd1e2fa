"""A chain that lies, stalls and forgets, and the platform's own processes to try it on."""
