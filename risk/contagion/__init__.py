"""Contagion: who is reached when somebody in a network of claims fails, freezes or loses its peg.

Pure mathematics in exact rational numbers on plain data. It loads no numeric library, so a page may ask it at once.
What the network of this platform is stands in `risk.contagion_queries`.
"""
