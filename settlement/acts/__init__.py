"""Acts on chain that officers decide on: opening a relationship, a series, a cap, a rulebook, a ruling.

What moves clients' money every day is instructed by the ledger (`settlement.poster`). These acts are seldom, change who
may do what or what stands where, and many of them wait for a day or two between scheduling and acting, so that a
guardian may stop them. Two people decide on exactly what is to be done (`deciding`); the calls that takes are derived
from that and from the chain each time anew (`plans`), so an act that was cut off anywhere goes on where it was
(`driver`).
"""
