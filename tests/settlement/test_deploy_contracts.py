"""The command that deploys: whole, cut off, a second time, and in production."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from eth_account import Account
from eth_utils.address import to_checksum_address
from pytest_django import Settings

from intermediary.errors import Refusal
from intermediary.models import Asset, ChainTarget
from settlement import deployment, holders, rights, role_table
from settlement.bindings import contract, read
from settlement.chain import Chain
from settlement.demo_chain import fund_gas, mine
from settlement.deployment import address_of
from settlement.models import Deployment
from settlement.signer import ANVIL_MNEMONIC, LocalSigner, demo_signer, signer_for
from settlement.transactor import Transactor
from tests.conftest import TestDatabase
from tests.settlement.world import CAP, client, house_alone

STRANGER = "0x" + "5e" * 20


def deployed(*arguments: str) -> dict[str, Any]:
    """What the command printed."""
    out = io.StringIO()
    call_command("deploy_contracts", *arguments, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture
def empty(chain_url: str, settings: Settings, committing_db: TestDatabase) -> Chain:
    """A chain and a database with nothing on them but what an asset is."""
    settings.CHAIN_RPC_URLS = [chain_url]
    Asset.objects.create(code="USDC", decimals=6, is_settlement=True)
    return Chain(chain_url)


def test_first_run_deploys_and_says_where_and_the_second_changes_nothing(empty: Chain) -> None:
    first = deployed(f"--cap=USDC={CAP}")
    assert (first["chain"], first["chain_id"], first["differences"]) == ("main", 31337, [])
    assert first["transactions"] > 0
    assert {row["name"] for row in first["contracts"]} >= {"AccessManager", "Eligibility", "House", "VaultFactory"}
    head = empty.head()
    assert deployed() == first | {"transactions": 0}
    assert deployed("--check") == first | {"transactions": 0}
    assert empty.head() == head
    for label in deployment.SET_UP:
        role = next(role.id for role in role_table.roles() if role.label == label)
        admin = demo_signer("admin").address
        assert read(empty, address_of("AccessManager"), "AccessManager", "hasRole", role, admin) == (False, 0)


@pytest.mark.parametrize(
    "step",
    [
        "_record_house",
        "_grant_roles",
        pytest.param("wire", marks=pytest.mark.deep),
        pytest.param("_set_up_houses", marks=pytest.mark.deep),
    ],
)
def test_run_that_was_cut_off_goes_on_where_it_was(empty: Chain, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deployment, step, die)
        with pytest.raises(KeyboardInterrupt):
            deployed(f"--cap=USDC={CAP}")
    before = set(Deployment.objects.values_list("address", flat=True))
    assert deployed(f"--cap=USDC={CAP}")["differences"] == []
    assert before <= set(Deployment.objects.values_list("address", flat=True))
    assert ChainTarget.objects.filter(kind="HOUSE").count() == 1


def test_the_house_of_the_settlement_token_has_no_disposal_desk(empty: Chain) -> None:
    Asset.objects.create(code="WBTC", decimals=8, priced_as="BTC")
    deployed(f"--cap=USDC={CAP}", f"--cap=WBTC={CAP}")
    houses = {code: address_of("House", code) for code in ("USDC", "WBTC")}
    desks = {code: read(empty, house, "House", "disposalDesk") for code, house in houses.items()}
    assert desks == {"USDC": rights.NOBODY, "WBTC": holders.key_address("market")}
    fund_gas(empty, demo_signer("operator").address)
    treasurer = Transactor(empty, demo_signer("operator"), mine)
    treasurer.call(houses["USDC"], "House", "setDisposalDesk", STRANGER)
    treasurer.wait()
    (off,) = rights.differences(empty)
    assert off.startswith(f"disposal desk of House USDC {houses['USDC']}: 0x")
    with pytest.raises(CommandError, match="not the table's"):
        deployed("--check")
    assert deployed()["differences"] == []
    assert read(empty, houses["USDC"], "House", "disposalDesk") == rights.NOBODY


def test_new_house_without_a_cap_is_refused(empty: Chain) -> None:
    with pytest.raises(CommandError, match="no_outflow_cap"):
        deployed()


def test_check_before_anything_is_deployed_says_so(empty: Chain) -> None:
    with pytest.raises(CommandError, match="not the table's"):
        deployed("--check")


@pytest.mark.world(build=house_alone)
def test_calls_that_take_every_role_from_a_key_are_printed_and_do_so(chain: Chain) -> None:
    lost, manager = demo_signer("operator").address, address_of("AccessManager")
    out = io.StringIO()
    call_command("deploy_contracts", "--revoke", lost, stdout=out)
    calls = json.loads(out.getvalue())
    assert {call["role"] for call in calls} == {label for label, who in holders.HOLDERS.items() if "operator" in who}
    for call in calls:
        fields = {"from": demo_signer("admin").address, "to": call["to"], "data": call["data"]}
        chain.call("anvil_impersonateAccount", fields["from"])
        chain.call("eth_sendTransaction", fields)
        mine(chain)
    ids = {role.label: role.id for role in role_table.roles()}
    for call in calls:
        assert read(chain, manager, "AccessManager", "hasRole", ids[call["role"]], lost) == (False, 0)
    with pytest.raises(CommandError, match="no address"):
        call_command("deploy_contracts", "--revoke", "0x12")


def more_of_a_role(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "grantRole", 1, STRANGER, 0)


def more_than_a_role_may(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "setTargetFunctionRole", house, [b"\x12\x34\x56\x78"], 1)


def another_administrator(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "grantRole", 0, STRANGER, 0)


def guardian(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "setRoleGuardian", 4, 1)


def closed(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "setTargetClosed", house, True)


def longer_delay(admin: Transactor, manager: str, house: str) -> None:
    admin.call(manager, "AccessManager", "grantRole", 1, demo_signer("poster").address, 60)


@pytest.mark.world(build=house_alone)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (more_of_a_role, "POSTER of"),
        (more_than_a_role_may, "may call 0x12345678"),
        (another_administrator, "ADMIN of"),
        (guardian, "getRoleGuardian of ONBOARDER"),
        (closed, "isTargetClosed of House"),
        (longer_delay, "POSTER of"),
    ],
)
def test_right_that_nobody_intended_is_found(chain: Chain, change: Any, named: str) -> None:
    admin = Transactor(chain, demo_signer("admin"), mine)
    change(admin, address_of("AccessManager"), address_of("House", "USDC"))
    admin.wait()
    off = rights.differences(chain)
    assert (len(off), named in off[0]) == (1, True), off


def test_rights_of_an_older_table_are_brought_to_this_one_and_a_strangers_are_left_to_a_person(empty: Chain) -> None:
    """As it was when the onboarder's key could fund what it accepts: a servicer recorded amendments, and it was one."""
    deployed(f"--cap=USDC={CAP}")
    servicer = next(role.id for role in role_table.roles() if role.label == "SERVICER")
    manager, house = address_of("AccessManager"), address_of("House", "USDC")
    onboarder, amend = demo_signer("onboarder").address, contract("House").selector("amend")
    admin = Transactor(empty, demo_signer("admin"), mine)
    admin.call(manager, "AccessManager", "grantRole", servicer, onboarder, 0)
    admin.call(manager, "AccessManager", "setTargetFunctionRole", house, [amend], servicer)
    admin.wait()
    off = rights.differences(empty)
    assert [f"0x{amend.hex()}" in off[0], off[1].startswith(f"SERVICER of {onboarder}"), len(off)] == [True, True, 2]
    with pytest.raises(CommandError, match="not the table's"):
        deployed("--check")
    again = deployed()
    assert (again["transactions"], again["differences"]) == (2, [])
    admin = Transactor(empty, demo_signer("admin"), mine)
    more_of_a_role(admin, manager, house)
    admin.wait()
    head = empty.head()
    with pytest.raises(CommandError, match=f"POSTER of {to_checksum_address(STRANGER)}"):
        deployed()
    assert empty.head() == head


def test_no_key_that_accepts_whom_a_house_pays_also_has_it_pay() -> None:
    paying = {key for label in ("SERVICER", "TREASURER", "POSTER") for key in holders.HOLDERS[label]}
    assert not paying & {*holders.HOLDERS["ONBOARDER"]}
    assert {*holders.APART} == {"admin", *(key for several in holders.HOLDERS.values() for key in several)}


@pytest.mark.world(build=house_alone)
def test_rights_of_a_relationships_contracts_are_compared_too(chain: Chain) -> None:
    retention = client(chain, "W", 0).targets["RETENTION"].address
    assert rights.differences(chain) == []
    admin = Transactor(chain, demo_signer("admin"), mine)
    selector = role_table.rows("Retention")[0].selectors[0]
    admin.call(address_of("AccessManager"), "AccessManager", "setTargetFunctionRole", retention, [selector], 14)
    admin.wait()
    assert len(rights.differences(chain)) == 1


def in_production(settings: Settings, monkeypatch: pytest.MonkeyPatch, directory: Path) -> dict[str, str]:
    """Keys of nobody's mnemonic: the administrator's in a keystore, of the others the address alone."""
    admin = Account.create()
    (directory / "admin.json").write_text(json.dumps(Account.encrypt(admin.key, "word", kdf="pbkdf2", iterations=10)))
    (directory / "admin.password").write_text("word")
    monkeypatch.setenv("SETTLEMENT_ADMIN_KEYSTORE", str(directory / "admin.json"))
    monkeypatch.setenv("SETTLEMENT_ADMIN_PASSWORD_FILE", str(directory / "admin.password"))
    others = {holder for several in holders.HOLDERS.values() for holder in several} | set(holders.PAYEES)
    stated = {name: Account.create().address for name in sorted(others)}
    for name, address in stated.items():
        monkeypatch.setenv(f"SETTLEMENT_{name.upper()}_ADDRESS", address)
    settings.MODE = "production"
    return {**stated, "admin": admin.address}


def test_production_deploys_by_the_administrators_key_alone_with_every_delay(
    empty: Chain, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = Transactor(empty, demo_signer("admin"), mine).deploy("DemoUSDC", demo_signer("faucet").address)
    keys = in_production(settings, monkeypatch, tmp_path)
    settings.MODE = "test"
    fund_gas(empty, keys["admin"])
    settings.MODE = "production"
    usdc = Asset.objects.get(code="USDC")
    made: dict[str, Any] = {
        "chain": empty,
        "rulebook_hash": "11" * 32,
        "rulebook_uri": "docs",
        "outflow_caps": {"USDC": CAP},
    }

    def mined(chain: Chain) -> None:
        chain.call("evm_mine")

    with pytest.raises(Refusal, match="no_token"):
        deployment.deploy(assets=[usdc], mine=mined, **made)
    usdc.token_address = token
    assert deployment.deploy(assets=[usdc], mine=mined, **made) > 0
    assert deployment.deploy(assets=[usdc], mine=mined, **made) == 0
    delays = {role.label: role.delay_seconds for role in role_table.roles()}
    assert (delays["TREASURER"], delays["ONBOARDER"]) == (172800, 86400)
    assert read(empty, address_of("House", "USDC"), "House", "rulebookNotice") == rights.NOTICE_SECONDS


def test_production_refuses_published_keys_and_keys_that_check_themselves(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = in_production(settings, monkeypatch, tmp_path)
    holders.require_apart()
    monkeypatch.setenv("SETTLEMENT_APPROVER_ADDRESS", keys["poster"])
    with pytest.raises(Refusal, match="poster and approver"):
        holders.require_apart()
    monkeypatch.setenv("SETTLEMENT_APPROVER_ADDRESS", keys["approver"])
    monkeypatch.setenv("SETTLEMENT_ONBOARDER_ADDRESS", keys["operator"])  # would accept a structure, and pay it
    with pytest.raises(Refusal, match="operator and onboarder"):
        holders.require_apart()
    monkeypatch.setenv("SETTLEMENT_APPROVER_ADDRESS", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    with pytest.raises(Refusal, match="demo_key_refused"):
        holders.require_apart()
    published = LocalSigner(Account.from_mnemonic(ANVIL_MNEMONIC, account_path="m/44'/60'/0'/0/1"))
    kept = Account.encrypt(published.account.key, "word", kdf="pbkdf2", iterations=10)
    (tmp_path / "poster.json").write_text(json.dumps(kept))
    monkeypatch.setenv("SETTLEMENT_POSTER_KEYSTORE", str(tmp_path / "poster.json"))
    monkeypatch.setenv("SETTLEMENT_POSTER_PASSWORD_FILE", str(tmp_path / "admin.password"))
    with pytest.raises(Refusal, match="demo_key_refused"):
        signer_for("poster")
    monkeypatch.setenv("SETTLEMENT_APPROVER_ADDRESS", "0x12")
    with pytest.raises(Refusal, match="bad_address"):
        holders.require_apart()
    monkeypatch.delenv("SETTLEMENT_APPROVER_ADDRESS")
    with pytest.raises(Refusal, match="no_key_configured"):
        holders.require_apart()
