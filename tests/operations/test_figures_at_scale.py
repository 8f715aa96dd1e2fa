"""The figures cost as little when the tables that only grow have grown."""

import time

import pytest
from django.db import connection

from intermediary.config.operations.collect import collect
from tests.conftest import TestDatabase

ID = "('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid"
GROWN = (
    f"""INSERT INTO settlement_chainblock (id, number, hash, parent_hash, block_time, canonical, finalized, chain)
    SELECT {ID}, n, 'h' || n, 'h' || (n - 1), now(), true, n < 299990, 'main' FROM generate_series(1, 300000) n""",
    f"""INSERT INTO settlement_chainlog (id, block_id, block_hash, log_index, transaction_hash, address, topics, data,
        name, applied, refusal, set_aside)
    SELECT {ID}, {ID}, 'x' || n, n, 'x', 'x', '[]', '', 'Moved', n > 5, '', false FROM generate_series(1, 200000) n""",
    f"""INSERT INTO settlement_approval (id, kind, body, signer, signature)
    SELECT {ID}, 'BATCH', to_json(repeat('x', 20000)), '', '' FROM generate_series(1, 3000) n""",
    "INSERT INTO settlement_chainsender (address, role, chain) VALUES ('0xs', 'poster', 'main')",
    f"""INSERT INTO settlement_chaintransaction (id, sender_id, nonce, "to", data, gas_limit, state, block_hash,
        transaction_hash, succeeded, step)
    SELECT {ID}, '0xs', n, '0xh', repeat('y', 20000), 1, 'FINAL', 'h' || n, '', true, ''
    FROM generate_series(1, 20000) n""",
    f"INSERT INTO intermediary_event (id, kind, payload) SELECT {ID}, 'x', '{{}}' FROM generate_series(1, 100000) n",
    f"""INSERT INTO intermediary_delivery (id, event_id, consumer, state, attempts, error)
    SELECT {ID}, {ID}, 'bonds', 'DONE', 1, '' FROM generate_series(1, 100000) n""",
)


@pytest.mark.deep
def test_the_figures_of_a_year_cost_under_fifty_milliseconds(committing_db: TestDatabase) -> None:
    with connection.cursor() as cursor:
        for statement in GROWN:
            cursor.execute(statement)
    took = []
    for _ in range(6):
        began = time.perf_counter()
        figures = collect()
        took.append(time.perf_counter() - began)
    print(f"figures: {1000 * min(took):.1f} ms at best, {1000 * max(took):.1f} ms at worst of {len(took)}")  # noqa: T201
    assert figures.unapplied.count == 5
    assert min(took) < 0.05
