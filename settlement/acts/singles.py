"""Acts of one call, or of a few of the same kind, as steps."""

from collections.abc import Mapping
from typing import Any

from intermediary.ledger import settlement_asset
from intermediary.models import ChainTarget
from settlement.acts.steps import Check, Step, Steps, at_least, says
from settlement.bindings import read
from settlement.chain import Chain
from settlement.deployment import address_of

Body = Mapping[str, Any]
ON_RISK, PULLED = 2, 4  # SeriesLog.Phase
ACCOUNTS_A_CALL = 100  # some 3 million gas: an entry is a fresh slot and an event


def eligible(body: Body) -> Steps:
    """`accounts` may hold notes until `until` (unix seconds; past: no longer)."""
    register, until = address_of("Eligibility"), int(body["until"])
    accounts = list(body["accounts"])
    for start in range(0, len(accounts), ACCOUNTS_A_CALL):
        some = accounts[start : start + ACCOUNTS_A_CALL]
        done = tuple(says("Eligibility", register, "validUntil", one, wanted=until) for one in some)
        label = f"enter holders {start + 1} to {start + len(some)}"
        yield Step(label, "structurer", "Eligibility", register, "set", (some, until), done)


def allot(body: Body) -> Steps:
    """`allotments`: for each class, junior first, units by account. Subscribing uses an allotment up, so nothing on
    chain tells later that it was made but its logs: it is sent once (`recalled`)."""
    for tranche, units_of in enumerate(body["allotments"]):
        listed = sorted(units_of.items())
        for start in range(0, len(listed), ACCOUNTS_A_CALL):
            some = listed[start : start + ACCOUNTS_A_CALL]
            arguments = (tranche, [account for account, _ in some], [int(units) for _, units in some])
            label = f"allot class {tranche + 1}, accounts {start + 1} to {start + len(some)}"
            yield Step(label, "structurer", "SeriesEscrow", body["escrow"], "allot", arguments)


def close(body: Body) -> Steps:
    """The series goes on risk; the contract refuses (`NotCovered`) while a class is not sold in full."""
    escrow = body["escrow"]
    done = (Check("SeriesEscrow", escrow, "phase", (), lambda phase: ON_RISK <= phase < PULLED),)
    yield Step("close the offering", "structurer", "SeriesEscrow", escrow, "closeOffering", (), done)


def pull(body: Body) -> Steps:
    """The offering is given up; subscribers get their cash back by `refund`."""
    done = (says("SeriesEscrow", body["escrow"], "phase", wanted=PULLED),)
    yield Step("pull the offering", "structurer", "SeriesEscrow", body["escrow"], "pull", (), done)


def refund(chain: Chain, body: Body) -> Steps:
    """Each subscriber of a pulled series gets its cash back: `holders`, for each class, junior first. Anyone may call
    it; here the structurer pays the gas."""
    for tranche, holders in enumerate(body["holders"]):
        note = read(chain, body["escrow"], "SeriesEscrow", "notes", tranche)
        for place, holder in enumerate(sorted(holders), start=1):
            done = (says("TrancheNote", note, "balanceOf", holder, wanted=0),)
            label = f"pay back class {tranche + 1}, holder {place}"
            yield Step(label, "structurer", "SeriesEscrow", body["escrow"], "refund", (tranche, holder), done)


def suspend(body: Body) -> Steps:
    """Nobody sends notes of these classes until `until` (unix seconds), and all are paid; a past moment lifts it."""
    until = int(body["until"])
    for place, note in enumerate(body["notes"], start=1):
        done = (says("TrancheNote", note, "suspendedUntil", wanted=until),)
        label = f"suspend class {place}" if until else f"let class {place} go on"
        yield Step(label, "enforcer", "TrancheNote", note, "suspendTransfers", (until,), done)


def cap(body: Body) -> Steps:
    """The most that may leave a house a day, under the treasurer's delay."""
    house, amount = address_of("House", body["asset"]), int(body["cap_base_units"])
    done = (says("House", house, "outflowCap", wanted=amount),)
    yield Step("set the cap", "operator", "House", house, "setOutflowCap", (amount,), done)


def rulebook(body: Body) -> Steps:
    """The hash and place of a rulebook, some time before it holds, in every house of this chain."""
    hash_, effective = bytes.fromhex(body["hash"]), int(body["effective"])
    for asset in body["assets"]:
        house = address_of("House", asset)
        done = (at_least("House", house, "rulebookEffective", hash_, wanted=1),)
        arguments = (hash_, body["uri"], effective)
        yield Step(f"publish it in the {asset} house", "onboarder", "House", house, "publishRulebook", arguments, done)


def challenge(body: Body) -> Steps:
    """The trustee refers a loss notice to the expert."""
    escrow, number = body["escrow"], int(body["number"])
    done = (Check("SeriesEscrow", escrow, "notices", (number,), lambda notice: bool(notice[3])),)
    yield Step("challenge the notice", "trustee", "SeriesEscrow", escrow, "challenge", (number,), done)


def rule(body: Body) -> Steps:
    """The expert's answer; no view tells one that leaves the whole amount, so it is sent once (`recalled`)."""
    number, amount = int(body["number"]), int(body["amount_base_units"])
    yield Step("rule on the notice", "expert", "SeriesEscrow", body["escrow"], "rule", (number, amount))


def cancel_loss(chain: Chain, body: Body) -> Steps:
    """The notice is taken back under the escrow's next servicing number, which the operator's calls use in turn."""
    escrow, number = body["escrow"], int(body["number"])
    done = (Check("SeriesEscrow", escrow, "notices", (number,), lambda notice: notice[1] == 0),)
    sequence = int(read(chain, escrow, "SeriesEscrow", "seq")) + 1
    yield Step("take the notice back", "operator", "SeriesEscrow", escrow, "cancelLoss", (sequence, number), done)


def call(body: Body) -> Steps:
    """Any restricted function, with its arguments as they were decided; sent once (`recalled`)."""
    arguments = tuple(plain(value) for value in body["arguments"])
    yield Step("make the call", body["key"], body["contract"], body["to"], body["function"], arguments)


def plain(value: Any) -> Any:
    """Arguments as JSON keeps them: whole numbers are decimal strings, bytes 0x hexadecimal, addresses as they are."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, str) and value.startswith("0x") and len(value) != ADDRESS_DIGITS:
        return bytes.fromhex(value[2:])
    return value


ADDRESS_DIGITS = 42


def escrow_of(series: str) -> ChainTarget | None:
    """The escrow of a series by its code."""
    escrows = ChainTarget.objects.filter(kind=ChainTarget.Kind.ESCROW, creation__series=series)
    return escrows.filter(asset=settlement_asset()).first()
