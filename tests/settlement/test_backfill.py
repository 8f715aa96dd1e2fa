"""Reading final blocks again from any height."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from intermediary.models import ChainInstruction
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.models import ChainBlock, ChainLog
from tests.conftest import RoleSwitch
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, deposit, funded_client, held

pytestmark = pytest.mark.world(build=funded_client)


def filled(*arguments: str) -> dict[str, Any]:
    """What the command printed."""
    out = io.StringIO()
    call_command("backfill", *arguments, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def lose(as_role: RoleSwitch, name: str, blocks: bool = False) -> None:
    """As a node's hole left it, or a lost table: these logs, and with `blocks` the blocks they are in, were never
    read here."""
    with as_role("owner"), connection.cursor() as cursor:
        cursor.execute("SELECT block_id FROM settlement_chainlog WHERE name = %s", [name])
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute("DELETE FROM settlement_chainlog WHERE block_id = ANY(%s)", [ids])
        if blocks:
            cursor.execute("DELETE FROM settlement_chainblock WHERE id = ANY(%s)", [ids])


def test_nothing_is_found_where_nothing_is_missing(chain: Chain, who: Client) -> None:
    before = ChainLog.objects.count()
    said = filled("--from-block=0")
    assert (said["logs_found"], said["breaks"], said["logs_read"] > 0) == ([], 0, True)
    assert ChainLog.objects.count() == before


@pytest.mark.parametrize("blocks", [False, True])
def test_logs_that_were_lost_are_found_and_booked_once(
    chain: Chain, who: Client, as_role: RoleSwitch, blocks: bool
) -> None:
    made = debit(who, MILLION)
    settle_all()
    before = ChainLog.objects.count()
    lose(as_role, "Moved", blocks)
    assert ChainLog.objects.count() < before
    said = filled("--from-block=0")
    assert {"Moved", "BatchPosted", "Transfer"} <= {row["name"] for row in said["logs_found"]}
    assert all(row["booked"] for row in said["logs_found"])
    assert ChainLog.objects.count() == before
    assert not ChainBlock.objects.filter(canonical=True, finalized=False, logs__isnull=False).exists()
    assert filled("--from-block=0")["logs_found"] == []
    assert (held(who), ChainInstruction.objects.get(id=made.id).state) == (4 * MILLION, "FINAL")
    assert_reconciled()


def test_deposit_that_was_never_read_is_credited_once(chain: Chain, who: Client, as_role: RoleSwitch) -> None:
    settle_all()
    deposit(chain, who, 2 * MILLION)
    settle_all()
    assert held(who) == 7 * MILLION
    lose(as_role, "Transfer")
    said = filled("--from-block=0")
    assert [row["name"] for row in said["logs_found"]].count("Transfer") >= 1
    assert held(who) == 7 * MILLION
    assert_reconciled()


def test_range_beyond_what_is_final_is_refused(chain: Chain, who: Client) -> None:
    with pytest.raises(CommandError, match="no_such_range"):
        filled(f"--from-block={chain.head() + 1}")


def test_block_that_is_not_the_chains_stops_it(chain: Chain, who: Client, as_role: RoleSwitch) -> None:
    lose(as_role, "Transfer")
    with as_role("owner"), connection.cursor() as cursor:
        cursor.execute("UPDATE settlement_chainblock SET hash = '0x' || repeat('00', 30) || lpad(number::text, 4, '0')")
    with pytest.raises(CommandError, match="finality_broken"):
        filled("--from-block=0")
