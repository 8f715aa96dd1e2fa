"""What officers may look up: every table of the intermediary, read-only, with money, times and hashes made readable.

The admin changes nothing by itself. What an officer decides is asked for on the pages of the composition root, carried
out by the same commands that everyone uses, and refused by the same rules.
"""

from intermediary.admin import (  # noqa: F401  # importing them registers them
    chain,
    defaults,
    ledger,
    margin,
    people,
    records,
    relationships,
    trading,
)
