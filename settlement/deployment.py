"""Putting the contracts on a chain, and saying where they are.

One access manager and register of eligible holders for all; one token (on a demonstration chain), house and vault
factory an asset. The role and delay table is the contract suite's own (role_table.py); it is set, then read back and
compared, so that a deployment with a missing or an extra right never starts to work.
"""

from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db import transaction

from intermediary.errors import Refusal
from intermediary.models import Asset, Cell, ChainTarget
from settlement import role_table
from settlement.bindings import read
from settlement.chain import Chain
from settlement.models import Deployment
from settlement.role_table import Role
from settlement.signer import Signer, signer_for
from settlement.transactor import Mine, Transactor

# Which key holds which role of the suite. The operator acts through the outbox only; set-up keys never touch money.
HOLDERS: dict[str, tuple[str, ...]] = {
    "POSTER": ("poster",),
    "APPROVER": ("approver",),
    "DEFAULTS": ("operator",),
    "ONBOARDER": ("onboarder", "structurer"),
    "TREASURER": ("operator",),
    "DISPOSER": ("operator",),
    "RULEMAKER": ("onboarder",),
    "CAP_KEEPER": ("operator",),
    "SERVICER": ("operator", "onboarder"),
    "STRUCTURER": ("structurer",),
    "TRUSTEE": ("trustee",),
    "EXPERT": ("expert",),
    "ENFORCER": ("enforcer",),
    "REGISTRAR": ("structurer",),
}
NOTICE_SECONDS = 30 * 24 * 3600  # of a new rulebook; in a demonstration everyone starts together
# A rulebook may not take effect before its block's time; the block that will carry it is at most this far away.
EFFECTIVE_AHEAD_SECONDS = 600


def address_of(name: str, asset: str = "") -> str:
    """Where a deployed contract or named account is. Refuses when it was never recorded."""
    found = Deployment.objects.filter(name=name, asset_id=asset or None).first()
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
) -> None:
    """Deploy the suite for these assets, set roles, caps and the rulebook, and record all of it.

    An asset without `token_address` gets a demonstration token. Refuses `role_table_differs` when the chain does not
    show exactly the intended rights.
    """
    admin = Transactor(chain, signer_for("admin"), mine)
    deployed = {"AccessManager": admin.deploy("AccessManager", admin.signer.address)}
    manager = deployed["AccessManager"]
    deployed["Eligibility"] = admin.deploy("Eligibility", manager)
    of_asset = {asset.code: _deploy_asset(admin, asset, manager) for asset in assets}
    wire(admin, deployed, deployed["Eligibility"], "Eligibility")
    for names in of_asset.values():
        wire(admin, deployed, names["House"], "House")
    _grant_roles(admin, deployed)
    _set_up_houses(chain, mine, of_asset, rulebook_hash, rulebook_uri, outflow_caps)
    _record(chain, deployed, of_asset)
    assert_roles(chain)


def wire(admin: Transactor, deployed: Mapping[str, str], target: str, name: str) -> None:
    """Give each restricted function of `target`, a contract called `name`, to its role, as the suite's table says."""
    for row in role_table.rows(name):
        arguments = (target, row.selectors, row.role)
        admin.call(deployed["AccessManager"], "AccessManager", "setTargetFunctionRole", *arguments)
    admin.wait()


def assert_roles(chain: Chain) -> None:
    """Compare the live rights of every house with the table; refuses `role_table_differs` with what is off."""
    manager = address_of("AccessManager")
    off: list[str] = []
    for house in Deployment.objects.filter(name="House"):
        for row in role_table.rows("House"):
            for selector in row.selectors:
                live = read(chain, manager, "AccessManager", "getTargetFunctionRole", house.address, selector)
                if live != row.role:
                    off.append(f"{house.asset_id} 0x{selector.hex()}: role {live}, not {row.role}")
    for role in role_table.roles():
        for holder in HOLDERS[role.label]:
            holds, delay = read(chain, manager, "AccessManager", "hasRole", role.id, signer_for(holder).address)
            if not holds or delay != _delay_of(role):
                off.append(f"{role.label}: {holder} holds {holds}, delay {delay}")
    if off:
        raise Refusal("role_table_differs", "The chain's rights are not the table's.", off=off)


def known_addresses() -> dict[str, str]:
    """The deployed contracts that stand for no asset, by name."""
    return dict(Deployment.objects.filter(asset=None).values_list("name", "address"))


def mint_tokens(*, chain: Chain, asset: str, to: str, amount_base_units: int, mine: Mine | None) -> str:
    """Make demonstration tokens; the transaction's hash."""
    faucet = Transactor(chain, signer_for("faucet"), mine)
    minted = faucet.call(address_of("Token", asset), "DemoUSDC", "mint", to, amount_base_units)
    faucet.wait()
    return minted


def _deploy_asset(admin: Transactor, asset: Asset, manager: str) -> dict[str, str]:
    token = asset.token_address or admin.deploy(f"Demo{asset.code}", signer_for("faucet").address)
    notice = NOTICE_SECONDS if settings.MODE == "production" else 0
    house = admin.deploy("House", token, manager, notice)
    return {"Token": token, "House": house, "VaultFactory": admin.deploy("VaultFactory", token, house)}


def _delay_of(role: Role) -> int:
    return role.delay_seconds if settings.MODE == "production" else 0


def _grant_roles(admin: Transactor, deployed: Mapping[str, str]) -> None:
    for role in role_table.roles():
        admin.call(deployed["AccessManager"], "AccessManager", "labelRole", role.id, role.label)
        for holder in HOLDERS[role.label]:
            arguments = (role.id, signer_for(holder).address, _delay_of(role))
            admin.call(deployed["AccessManager"], "AccessManager", "grantRole", *arguments)
    admin.wait()


def _set_up_houses(
    chain: Chain,
    mine: Mine | None,
    of_asset: Mapping[str, Mapping[str, str]],
    rulebook_hash: str,
    rulebook_uri: str,
    outflow_caps: Mapping[str, int],
) -> None:
    operator, onboarder = _transactors(chain, mine, "operator", "onboarder")
    latest = chain.block("latest")
    assert latest is not None, "every chain has a latest block"
    ahead = EFFECTIVE_AHEAD_SECONDS if settings.MODE != "production" else NOTICE_SECONDS + EFFECTIVE_AHEAD_SECONDS
    for code, names in of_asset.items():
        operator.call(names["House"], "House", "setOutflowCap", outflow_caps[code])
        operator.call(names["House"], "House", "setDisposalDesk", signer_for("market").address)
        arguments = (bytes.fromhex(rulebook_hash), rulebook_uri, int(latest["timestamp"], 16) + ahead)
        onboarder.call(names["House"], "House", "publishRulebook", *arguments)
    operator.wait()
    onboarder.wait()


def _transactors(chain: Chain, mine: Mine | None, *names: str) -> list[Transactor]:
    return [Transactor(chain, signer_for(name), mine) for name in names]


def _record(chain: Chain, deployed: Mapping[str, str], of_asset: Mapping[str, Mapping[str, str]]) -> None:
    head = chain.head()
    payees: dict[str, Signer] = {f"payee:{name}": signer_for(name) for name in ("market", "costs")}
    with transaction.atomic():
        house_cell = Cell.objects.get(kind=Cell.Kind.HOUSE)
        for name, address in (dict(deployed) | {name: signer.address for name, signer in payees.items()}).items():
            Deployment.objects.create(name=name, address=address, block_number=head)
        for code, names in of_asset.items():
            for name, address in names.items():
                Deployment.objects.create(name=name, asset_id=code, address=address, block_number=head)
            Asset.objects.filter(code=code).update(token_address=names["Token"])
            ChainTarget.objects.create(
                kind=ChainTarget.Kind.HOUSE, cell=house_cell, asset_id=code, address=names["House"], opened=True
            )
