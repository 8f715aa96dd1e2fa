"""Putting the contracts on a chain, and saying where they are.

One access manager and register of eligible holders a chain; one token (on a demonstration chain), house and vault
factory an asset. Each contract is written down as soon as it stands, and every step looks at the chain first: a
deployment that was cut off goes on where it was, and one that is finished changes nothing. The administrator's key is
the only one it signs with. What an older table gave to one of our keys is taken from it. At the end the whole table of
roles is read back (`settlement.rights`), so that a missing or an extra right never starts to work.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from intermediary.errors import Refusal
from intermediary.models import Asset, Cell, ChainTarget
from settlement import chains, rights, role_table
from settlement.bindings import read
from settlement.chain import Chain
from settlement.holders import APART, HOLDERS, PAYEES, key_address, require_apart
from settlement.models import Deployment
from settlement.rights import NOBODY
from settlement.signer import signer_for
from settlement.transactor import Mine, Transactor

# A rulebook may not take effect before its block's time; the block that will carry it is at most this far away.
EFFECTIVE_AHEAD_SECONDS = 600
SET_UP = ("TREASURER", "RULEMAKER")  # what the administrator holds while it sets up a house, and not a moment longer


def address_of(name: str, asset: str = "") -> str:
    """Where a deployed contract or named account is: an asset's on its own chain, any other on this one. Refuses when
    it was never recorded."""
    rows = Deployment.everywhere if asset else Deployment.objects
    found = rows.filter(name=name, asset_id=asset or None).first()
    if found is None:
        raise Refusal("not_deployed", f"{name} {asset} is not deployed.", name=name, asset=asset)
    return found.address


def deploy(
    *,
    chain: Chain,
    assets: Sequence[Asset],
    rulebook_hash: str,
    rulebook_uri: str,
    outflow_caps: Mapping[str, int],
    mine: Mine | None,
) -> int:
    """Deploy what is missing of the suite for these assets, set roles, caps and the rulebook, and record all of it;
    how many transactions that took.

    An asset without `token_address` gets a demonstration token. Refuses `role_table_differs` when the chain does not
    show exactly the intended rights, `no_outflow_cap` for a new house without one, `no_token` in production.
    """
    require_apart()
    chain.id()
    admin = Transactor(chain, signer_for("admin"), mine)
    before = admin.sent
    manager = _put(admin, "AccessManager", None, admin.signer.address)
    eligibility = _put(admin, "Eligibility", None, manager)
    wire(admin, known_addresses(), eligibility, "Eligibility")
    for asset in assets:
        token = _token(admin, asset)
        house = _put(admin, "House", asset, token, manager, rights.notice_seconds())
        _put(admin, "VaultFactory", asset, token, house)
        wire(admin, known_addresses(), house, "House")
        _record_house(asset, token, house)
    _record_payees(chain)
    _set_up_houses(admin, manager, assets, rulebook_hash, rulebook_uri, outflow_caps)
    _grant_roles(admin, manager)
    _take_back_roles(admin, manager)
    rights.assert_as_intended(chain)
    return admin.sent - before


def wire(admin: Transactor, deployed: Mapping[str, str], target: str, name: str) -> None:
    """Give each restricted function of `target`, a contract called `name`, to its role, as the suite's table says."""
    manager = deployed["AccessManager"]
    for row in role_table.rows(name):
        live = {
            read(admin.chain, manager, "AccessManager", "getTargetFunctionRole", target, one) for one in row.selectors
        }
        if live != {row.role}:
            admin.call(manager, "AccessManager", "setTargetFunctionRole", target, row.selectors, row.role)
    admin.wait()


def known_addresses() -> dict[str, str]:
    """The deployed contracts that stand for no asset, by name."""
    return dict(Deployment.objects.filter(asset=None).values_list("name", "address"))


def mint_tokens(*, chain: Chain, asset: str, to: str, amount_base_units: int, mine: Mine | None) -> str:
    """Make demonstration tokens; the transaction's hash."""
    faucet = Transactor(chain, signer_for("faucet"), mine)
    minted = faucet.call(address_of("Token", asset), "DemoUSDC", "mint", to, amount_base_units)
    faucet.wait()
    return minted


def _put(admin: Transactor, name: str, asset: Asset | None, *arguments: Any) -> str:
    """The address of this contract, which is deployed and written down unless it was. One that was deployed and not
    written down, since the process died in between, is left where it is: it holds nothing and nobody knows it."""
    known = Deployment.objects.filter(name=name, asset=asset).first()
    if known is None:
        address = admin.deploy(name, *arguments)
        if Deployment.everywhere.filter(address=address).exists():
            raise Refusal(
                "address_taken",
                f"{name} would be {address}, as a contract of another chain is: the administrator needs another key.",
            )
        known = Deployment.objects.create(name=name, asset=asset, address=address, block_number=admin.chain.head())
    return known.address


def _token(admin: Transactor, asset: Asset) -> str:
    known = Deployment.objects.filter(name="Token", asset=asset).first()
    if known is not None:
        return known.address
    if not asset.token_address and settings.MODE == "production":
        raise Refusal("no_token", f"{asset} has no token on chain {chains.here()}; production makes none.")
    address = asset.token_address or admin.deploy(f"Demo{asset.code}", signer_for("faucet").address)
    Deployment.objects.create(name="Token", asset=asset, address=address, block_number=admin.chain.head())
    return address


def _record_house(asset: Asset, token: str, house: str) -> None:
    with transaction.atomic():
        cell, _ = Cell.objects.get_or_create(kind=Cell.Kind.HOUSE, defaults={"code": "HOUSE"})
        chain = "" if chains.here() == chains.names()[0] else chains.here()
        Asset.objects.filter(code=asset.code).update(token_address=token, chain=chain)
        ChainTarget.objects.get_or_create(
            kind=ChainTarget.Kind.HOUSE, cell=cell, asset=asset, address=house, defaults={"opened": True}
        )


def _record_payees(chain: Chain) -> None:
    for name in PAYEES:
        stands = {"address": key_address(name), "block_number": chain.head()}
        Deployment.objects.get_or_create(name=f"payee:{name}", asset=None, chain=chains.here(), defaults=stands)


def _set_up_houses(
    admin: Transactor,
    manager: str,
    assets: Sequence[Asset],
    rulebook_hash: str,
    rulebook_uri: str,
    outflow_caps: Mapping[str, int],
) -> None:
    """Cap, disposal desk and rulebook of every house, as far as they are missing. The administrator gives itself what
    that takes, and gives it back, whatever happened in between."""
    roles = [role for role in role_table.roles() if role.label in SET_UP]
    calls = [
        call for asset in assets for call in _missing(admin.chain, asset, rulebook_hash, rulebook_uri, outflow_caps)
    ]
    if calls:
        for role in roles:
            admin.call(manager, "AccessManager", "grantRole", role.id, admin.signer.address, 0)
        admin.wait()
        for house, function, *arguments in calls:
            admin.call(house, "House", function, *arguments)
        admin.wait()
    for role in roles:
        if read(admin.chain, manager, "AccessManager", "hasRole", role.id, admin.signer.address)[0]:
            admin.call(manager, "AccessManager", "revokeRole", role.id, admin.signer.address)
    admin.wait()


def _missing(
    chain: Chain, asset: Asset, rulebook_hash: str, rulebook_uri: str, outflow_caps: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    house = address_of("House", asset.code)
    calls: list[tuple[Any, ...]] = []
    if read(chain, house, "House", "outflowCap") == 0:
        if not outflow_caps.get(asset.code):
            raise Refusal("no_outflow_cap", f"The new house of {asset} needs a cap of what may leave it a day.")
        calls.append((house, "setOutflowCap", outflow_caps[asset.code]))
    desk = read(chain, house, "House", "disposalDesk")
    if asset.is_settlement and desk != NOBODY:
        calls.append((house, "setDisposalDesk", NOBODY))  # what is seized there is money already: nothing is to be sold
    if not asset.is_settlement and desk == NOBODY:
        calls.append((house, "setDisposalDesk", key_address("market")))
    if bytes(read(chain, house, "House", "rulebook")) == bytes(32):
        latest = chain.block("latest")
        assert latest is not None, "every chain has a latest block"
        effective = int(latest["timestamp"], 16) + rights.notice_seconds() + EFFECTIVE_AHEAD_SECONDS
        calls.append((house, "publishRulebook", bytes.fromhex(rulebook_hash), rulebook_uri, effective))
    return calls


def _grant_roles(admin: Transactor, manager: str) -> None:
    for role in role_table.roles():
        for holder in HOLDERS[role.label]:
            wanted = (True, rights.delay_of(role))
            account = key_address(holder)
            live = read(admin.chain, manager, "AccessManager", "hasRole", role.id, account)
            if live == wanted:
                continue
            if not live[0]:
                admin.call(manager, "AccessManager", "labelRole", role.id, role.label)
            admin.call(manager, "AccessManager", "grantRole", role.id, account, wanted[1])
    admin.wait()


def _take_back_roles(admin: Transactor, manager: str) -> None:
    """From our own keys only: who else holds a role is named by the comparison, and a person looks at it first."""
    ours = {key_address(name) for name in APART}
    for role, account in rights.held_beyond(admin.chain):
        if account in ours:
            admin.call(manager, "AccessManager", "revokeRole", role, account)
    admin.wait()
