"""Starts, watches and stops every process of one installation, on one machine.

`services` (one level up) keeps the embedded PostgreSQL, Valkey and anvil alive while anybody uses them;
the supervisor starts the platform's own processes over them. Nothing here knows what those processes do,
and nothing here imports Django: a server that cannot be configured must still be told why.
"""
