"""A client leaves with a node and its key: when the platform is gone, while it is there, and not before it may."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction
from eth_account import Account

from intermediary import outbox
from intermediary.config.supervisor.child import Child
from intermediary.config.supervisor.processes import LOOPBACK, choose_port
from intermediary.config.supervisor.state import StateDirectory
from intermediary.config.supervisor.table import process_table
from intermediary.models import Asset, ChainInstruction
from scripts import exit_vault
from settlement.bindings import read
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.deployment import address_of
from settlement.signer import Signer, demo_signer, demo_wallet
from settlement.transactor import Transactor
from tests.conftest import TestDatabase
from tests.settlement.test_default_and_series import approved_notice
from tests.settlement.test_processes import until
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held, pass_time

pytestmark = pytest.mark.world(build=funded_client)
DAY = 24 * 3600
SCRIPT = Path(exit_vault.__file__)


@pytest.fixture
def mining(chain: Chain) -> Iterator[None]:
    """The chain goes on by itself, as any chain does."""
    chain.call("evm_setAutomine", True)
    yield
    chain.call("evm_setAutomine", False)


def keystore_of(who: Signer, directory: Path) -> list[str]:
    """The key in a file, as wallets export it, and its password in another."""
    encrypted = Account.encrypt(who.account.key, "correct horse", kdf="pbkdf2", iterations=10)  # type: ignore[attr-defined]
    (directory / "key.json").write_text(json.dumps(encrypted))
    (directory / "password").write_text("correct horse\n")
    return ["--keystore", str(directory / "key.json"), "--password-file", str(directory / "password")]


def tokens(chain: Chain, of: str) -> int:
    return int(read(chain, Asset.objects.get(code="USDC").token_address, "DemoUSDC", "balanceOf", of))


def vault_arguments(chain: Chain, who: Client) -> list[str]:
    return ["--rpc", chain.url, "--vault", who.vault.address]


def beat(chain: Chain) -> None:
    """The operator lives."""
    by_hand = Transactor(chain, demo_signer("poster"))
    by_hand.call(address_of("House", "USDC"), "House", "beat")
    by_hand.wait()


def processes_of(database: TestDatabase, chain: Chain, broker: str, state: StateDirectory) -> dict[str, Child]:
    """Every process that the supervisor runs in the demo, but for the chain, database and broker of this test."""
    table = process_table(
        web_host=LOOPBACK,
        web_port=choose_port(),
        wallet_port=choose_port(),
        mode="demo",
        beat_file=str(state.root / "beat"),
    )
    shared = os.environ | database.urls | {"BROKER_URL": broker, "CHAIN_RPC_URLS": chain.url, "BULKHEAD_MODE": "test"}
    shared["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    return {row.name: Child(row, state, shared | {"DATABASE_ROLE": row.database_role}) for row in table}


def kill_all(running: dict[str, Child]) -> list[str]:
    """SIGKILL to every process and what it started; who was alive until then."""
    alive = []
    for name, child in running.items():
        if child.process is not None and child.process.poll() is None:
            alive.append(name)
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
    return alive


SETTLEMENT = ("watcher", "poster", "approver", "miner")


@pytest.mark.parametrize("which", [SETTLEMENT, pytest.param((), marks=pytest.mark.deep)], ids=["settlement", "whole"])
def test_a_client_takes_its_whole_margin_out_after_the_platform_was_killed(
    chain: Chain,
    who: Client,
    committing_db: TestDatabase,
    tmp_path: Path,
    which: tuple[str, ...],
    request: pytest.FixtureRequest,
    service_state: StateDirectory,
) -> None:
    made = debit(who, MILLION)
    broker = "" if which else request.getfixturevalue("valkey_url")
    platform = processes_of(committing_db, chain, broker, service_state)
    running = {name: platform[name] for name in which or platform}
    try:
        for child in running.values():
            child.start()
        until(lambda: ChainInstruction.objects.get(id=made.id).state == "FINAL", 240)  # the processes start
        until(lambda: all(child.is_ready or child.check() for child in running.values()), 240)
    finally:
        alive = kill_all(running)
    assert alive == list(running)
    chain.call("evm_setAutomine", True)
    command = [sys.executable, "-I", str(SCRIPT), *vault_arguments(chain, who), "--stay", "--send"]
    command += keystore_of(who.key, tmp_path)

    def leave() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)

    try:
        asked = leave()
        assert asked.returncode == exit_vault.MUST_WAIT, asked.stderr
        assert "1,000,000 USDC is locked" in asked.stdout
        pass_time(chain, 7 * DAY)
        paid = leave()
    finally:
        chain.call("evm_setAutomine", False)
    assert paid.returncode == exit_vault.DONE, paid.stdout + paid.stderr
    assert (tokens(chain, who.vault.address), tokens(chain, who.key.address)) == (0, 4 * MILLION)
    assert "Pay 4,000,000 USDC" in paid.stdout
    for said in (asked, paid):
        assert who.key.account.key.hex() not in said.stdout + said.stderr  # type: ignore[attr-defined]
    settle_all()
    assert held(who) == 0
    assert_reconciled()


@pytest.mark.usefixtures("mining")
def test_while_the_operator_lives_only_what_is_free_comes_out_after_its_time_to_answer(
    chain: Chain, who: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debit(who, MILLION)
    settle_all()
    send = [*vault_arguments(chain, who), "--stay", "--send", *keystore_of(who.key, tmp_path)]
    assert exit_vault.main(send) == exit_vault.MUST_WAIT
    assert "Your request of 4,000,000 USDC ripens" in capsys.readouterr().out
    pass_time(chain, DAY)
    beat(chain)
    assert exit_vault.main(send) == exit_vault.MUST_WAIT
    told = capsys.readouterr().out
    assert tokens(chain, who.key.address) == 3 * MILLION
    assert "1,000,000 USDC is locked: the operator requires it and gave its last sign of life" in told
    assert "left           1,000,000 USDC" in told


@pytest.mark.usefixtures("mining")
def test_notice_to_leave_frees_everything_though_the_operator_goes_on(
    chain: Chain, who: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debit(who, MILLION)
    settle_all()
    send = [*vault_arguments(chain, who), "--send", *keystore_of(who.key, tmp_path)]
    assert exit_vault.main(send) == exit_vault.MUST_WAIT
    assert "Your exit matures" in capsys.readouterr().out
    before = read(chain, who.vault.address, "MarginVault", "state")
    assert exit_vault.main(send) == exit_vault.MUST_WAIT
    assert read(chain, who.vault.address, "MarginVault", "state") == before  # asking again would set its time back
    pass_time(chain, 5 * DAY)
    beat(chain)
    assert exit_vault.main(send) == exit_vault.DONE
    assert tokens(chain, who.key.address) == 4 * MILLION
    assert exit_vault.main(send) == exit_vault.DONE


@pytest.mark.usefixtures("mining")
def test_a_live_notice_is_said_with_its_claim_and_its_end(
    chain: Chain, who: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction.atomic():
        outbox.instruct(
            target=who.vault,
            cell_id=who.cell.id,
            kind=ChainInstruction.Kind.NOTICE,
            amount_base_units=9 * MILLION,
            evidence=approved_notice(who).hash,
        )
    settle_all()
    assert exit_vault.main([*vault_arguments(chain, who)]) == exit_vault.MUST_WAIT
    told = capsys.readouterr().out
    assert "A default notice claims 9,000,000 USDC; it ends at" in told
    assert "locked now     9,000,000 USDC" in told


@pytest.mark.usefixtures("mining")
def test_a_dry_run_tells_the_calls_and_makes_none(
    chain: Chain, who: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    head = chain.head()
    assert exit_vault.main(vault_arguments(chain, who)) == exit_vault.MUST_WAIT
    told = capsys.readouterr().out
    asked = exit_vault.calldata("requestWithdraw(uint96)", 5 * MILLION)
    assert f"to {who.vault.address} data {asked}" in told
    assert "would call     requestExit()" in told
    assert chain.head() == head


@pytest.mark.usefixtures("mining")
def test_what_stops_it_is_said_by_name(
    chain: Chain, who: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped_by(*arguments: str) -> str:
        assert exit_vault.main(list(arguments)) == exit_vault.FAILED
        return capsys.readouterr().err

    send = [*vault_arguments(chain, who), "--send", *keystore_of(demo_wallet(8), tmp_path)]
    assert f"Only {who.key.address} may call requestWithdraw" in stopped_by(*send)
    (tmp_path / "password").write_text("wrong")
    assert "does not open with this password" in stopped_by(*send)
    for content in ("{}", "[]", '{"version": 3, "crypto": {}}'):
        (tmp_path / "key.json").write_text(content)
        assert "is no Web3 keystore of version 3" in stopped_by(*send)
    house = address_of("House", "USDC")
    assert "anyone may open it, by VaultFactory.open(terms)" in stopped_by(
        "--rpc", chain.url, "--vault", "0x" + "7e" * 20
    )
    secret = stopped_by("--rpc", "http://127.0.0.1:9/v2/s3cret", "--vault", house)
    assert "The node at 127.0.0.1 does not answer" in secret
    assert "s3cret" not in secret
    assert "no margin vault" in stopped_by("--rpc", chain.url, "--vault", house)
    assert "does not answer" in stopped_by("--rpc", "http://127.0.0.1:9", "--vault", house)
    with pytest.raises(SystemExit):
        exit_vault.main(["--rpc", chain.url, "--vault", "0x12"])


def test_a_transaction_that_waits_is_replaced_when_asked_only(
    chain: Chain, who: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wallet = exit_vault.Wallet(exit_vault.Node(chain.url), who.key.account.key)  # type: ignore[attr-defined]
    wallet._wait = lambda sent: None  # type: ignore[method-assign]
    stuck = wallet.send(who.vault.address, exit_vault.calldata("requestWithdraw(uint96)", MILLION))
    send = [*vault_arguments(chain, who), "--stay", "--send", *keystore_of(who.key, tmp_path)]
    assert exit_vault.main(send) == exit_vault.FAILED
    assert "run with --dearer" in capsys.readouterr().err
    mined = threading.Timer(1, lambda: Chain(chain.url).call("evm_mine"))
    mined.start()
    assert exit_vault.main([*send, "--dearer"]) == exit_vault.MUST_WAIT
    mined.join()
    assert "Your request of 5,000,000 USDC ripens" in capsys.readouterr().out
    assert chain.receipts([stuck]) == [None]
