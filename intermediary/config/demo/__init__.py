"""The demonstration world: who is in it, how it is built, and who plays the clients and the officers.

It uses the product's own commands throughout; nothing here computes a result.
"""
