"""Carrying acts out: one call a key at a time, each derived from what was decided and from the chain as it is.

A step counts as made when a call of its act made it, or when the chain shows that somebody did; so a process that was
killed at any line, or a database that forgot (`recalled`), goes on where the chain is. A call under a delay is
scheduled first. When every step shows in a final block the act is done (`closing`). Whatever stands in the way is said
in the act's row and looked at again; what people must decide anew is stopped and proposed again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from eth_utils.address import to_checksum_address

from intermediary import events
from intermediary.errors import Refusal
from settlement import chains, fence, reconcile, sender, sender_alarms
from settlement.acts import books, plans, recalled, scheduling, stopping
from settlement.acts.scheduling import May
from settlement.acts.steps import Made, Step, Wait
from settlement.bindings import error_name
from settlement.calls import ContractCall
from settlement.chain import Chain, ChainRefused
from settlement.deployment import address_of
from settlement.models import ChainAct, ChainSender, ChainTransaction
from settlement.signer import Signer

State = ChainTransaction.State
SUCCESSFUL = (State.INCLUDED, State.FINAL)
OF_THE_OPERATOR = (ChainAct.Kind.CAP, ChainAct.Kind.CAP_NOW, ChainAct.Kind.CANCEL_LOSS, ChainAct.Kind.CALL)
SCHEDULED = "scheduled"
REST_SECONDS = 15.0  # a block of a slow chain: what is taken back meanwhile is seen soon enough
REVERTS_MAX = 3  # each costs gas: a call that passes its trial and reverts every time is for people
NOT_YET = "0x" + "00" * 20  # stands for a contract that is not made yet, while the steps behind it are counted


Refused = dict[str, Refusal]  # by key

_looked: dict[UUID, float] = {}  # when this process last looked at an act that waits for its time


@dataclass(frozen=True)
class Look:
    """How far an act is: its next step (None: all are made), and what the contracts that it made are."""

    step: Step | Wait | None
    done: int
    known: int
    made: Made


def step(chain: Chain, signers: Mapping[str, Signer]) -> int:
    """One round over every open act of this chain with these keys, by name; how many transactions were sent. Nothing
    is sent behind a fence, nor while nodes disagree."""
    chain.id()
    if fence.is_up() or reconcile.outflow_is_stopped():
        return 0
    accounts = {key: found for key, signer in signers.items() if (found := _free(chain, key, signer)) is not None}
    sent: set[str] = set()
    refused: Refused = {}
    for act in open_acts():
        key = _advance(chain, act, {key: accounts[key] for key in accounts if key not in sent}, signers, refused)
        sent |= {key} if key else set()
    for key in accounts:
        if key in refused:
            _tell(key, refused[key])
        else:
            sender_alarms.clear(key, *sender_alarms.KIND_OF.values())
    return len(sent)


def open_acts() -> QuerySet[ChainAct]:
    """Of this chain, the oldest first."""
    found = ChainAct.objects.filter(chain=chains.here(), state__in=ChainAct.UNFINISHED)
    return found.select_related("proposal").order_by("id")


def is_in_flight(signers: Mapping[str, Signer]) -> bool:
    """Whether a transaction of these keys is on its way."""
    unfinished = ChainTransaction.objects.filter(sender__chain=chains.here(), state__in=ChainTransaction.UNFINISHED)
    return unfinished.filter(sender__role__in=list(signers)).exists()


def turn(chain: Chain, key: str, account: ChainSender, signer: Signer) -> int:
    """For the poster, which has the operator's key for other work too, with nothing in flight: send one step that is
    due. What its signer refused is raised when nothing else could be sent."""
    refused: Refused = {}
    for act in open_acts():
        if act.kind in OF_THE_OPERATOR and _advance(chain, act, {key: account}, {key: signer}, refused):
            return 1
    for refusal in refused.values():
        raise refusal
    return 0


def _free(chain: Chain, key: str, signer: Signer) -> ChainSender | None:
    """The row of a key that has nothing in flight; what is in flight is followed. A key that cannot sign holds up no
    other; a person is told."""
    try:
        account = sender.account_of(key, signer)
        sender.follow_former(chain, account)
        if not sender.follow(chain, account, signer) or _is_used_elsewhere(chain, account):
            return None
    except Refusal as error:
        if error.code not in sender_alarms.KIND_OF:
            raise
        _tell(key, error)
        return None
    return account


def _is_used_elsewhere(chain: Chain, account: ChainSender) -> bool:
    """Whether another process has something of this key on its way: a deployment, or a sale that it follows. Its nonce
    would be ours, so it is waited for until it is final."""
    last = account.transactions.order_by("-nonce").values_list("nonce", flat=True).first()
    ours = 0 if last is None else last + 1
    pending = int(chain.call("eth_getTransactionCount", account.address, "pending"), 16)
    return pending > ours and pending > sender.used_finally(chain, account.address)


def _tell(key: str, refusal: Refusal) -> None:
    sender_alarms.tell(sender_alarms.KIND_OF[refusal.code], key, str(refusal))


def look(chain: Chain, act: ChainAct, block: int | str = "latest", *, strictly: bool = False) -> Look:
    """How far the act is at this block. `strictly`: by the chain alone, whatever was sent."""
    sent = set(act.transactions.filter(state__in=SUCCESSFUL, succeeded=True).values_list("step", flat=True))
    made = contracts_of(chain, act)
    counted, done, known, current = dict(made), 0, 0, None
    for one in plans.steps_of(chain, act, counted):
        known += 1
        if isinstance(one, Step) and one.makes:
            is_made = one.label in made
            counted.setdefault(one.label, NOT_YET)
        elif isinstance(one, Step):
            is_sent = one.label in sent
            shows = bool(one.done) and (strictly or not is_sent) and current is None
            is_made = all(check.is_so(chain, block) for check in one.done) if shows else is_sent
        else:
            is_made = False
        if current is None and not is_made:
            current = one
        done += current is None
    return Look(current, done, known, made)


def contracts_of(chain: Chain, act: ChainAct) -> Made:
    """The contracts that this act's transactions have made, by step, as blocks show them now."""
    creations = act.transactions.filter(state__in=SUCCESSFUL, succeeded=True, to="").exclude(transaction_hash="")
    hashes = dict(creations.values_list("step", "transaction_hash"))
    receipts = chain.receipts(list(hashes.values()))
    found = zip(hashes, receipts, strict=True)
    return {
        label: str(to_checksum_address(receipt["contractAddress"]))
        for label, receipt in found
        if receipt and receipt["contractAddress"]
    }


def _advance(
    chain: Chain,
    act: ChainAct,
    accounts: Mapping[str, ChainSender],
    signers: Mapping[str, Signer],
    refused: Refused,
) -> str | None:
    """Do what can be done about one act now; the key with which something was sent. A key that cannot sign goes into
    `refused`, with its signer's reason."""
    if _rests(act):
        return None
    found: Look | None = None
    try:
        found = look(chain, act)
        if act.state == ChainAct.State.STOPPING:
            return stopping.advance(chain, act, found.step, accounts, signers)
        if found.step is None:  # `closing` ends it when its blocks are final
            note(act, said="waits for its blocks to be final", step="", key="", ready_at=None)
        elif isinstance(found.step, Wait):
            _say(act, found, found.step.said)
        elif found.step.key in accounts:
            key = found.step.key
            return _attempt(chain, act, found, found.step, accounts[key], signers[key])
        elif act.step != found.step.label:  # whoever has the key knows more about it
            _say(act, found, f"waits for the key {found.step.key}")
    except ChainRefused as error:
        note(act, said=f"the chain refuses: {error_name(error.revert_data)} {error.message}")
    except Refusal as error:
        if error.code in ("chain_unreachable", "wrong_chain"):
            raise
        if found is None or not isinstance(found.step, Step):
            note(act, said=str(error))
            return None
        if error.code in sender_alarms.KIND_OF:
            refused[found.step.key] = error
        _say(act, found, str(error), ready_at=act.ready_at if act.step == found.step.label else None)
    return None


def _rests(act: ChainAct) -> bool:
    """Whether an act that waits for its time was looked at just now: a day of waiting is many looks otherwise."""
    now = time.monotonic()
    if act.state == ChainAct.State.OPEN and act.ready_at is not None and act.said == SCHEDULED:
        if now - _looked.get(act.id, -REST_SECONDS) < REST_SECONDS:
            return True
        _looked[act.id] = now
    return False


def _attempt(chain: Chain, act: ChainAct, found: Look, step: Step, account: ChainSender, signer: Signer) -> str | None:
    """Send the step, or schedule it, or say why neither can be done now."""
    reverted = act.transactions.filter(step=step.label, state=State.REVERTED).count()
    if reverted >= REVERTS_MAX:
        _say(act, found, f"it reverted {reverted} times: stop the act and propose it again")
        return None
    try:
        books.refuse_step(ChainAct.Kind(act.kind), plans.body_of(act), step)
    except Refusal as refusal:
        _say(act, found, f"the books refuse: {refusal}")
        return None
    call, label, stands = ContractCall(step.to, step.calldata()), step.label, None
    if step.is_restricted:
        manager = address_of("AccessManager")
        stands = scheduling.standing(chain, manager, account.address, step.to, call.data)
        if stands.may == May.NEVER:
            _say(act, found, f"{account.address}, the {step.key}'s key, has no role that may do it")
            return None
        if stands.may == May.WAIT:
            _say(act, found, SCHEDULED, ready_at=stands.ready_at)
            return None
    if recalled.is_recalled(chain, act, step):
        _say(act, found, "it was made before the database was restored")
        return None
    if stands is not None and stands.may == May.SCHEDULE:
        if _was_taken_back(act, step, stands):
            stopping.stop(act, actor="guardian", reason="what was scheduled was taken back on chain")
            return None
        label = schedule_label(step, stands.number + 1)
        call = ContractCall(manager, scheduling.schedule(step.to, call.data))
    try:
        gas = _gas(chain, call, account.address)
    except ChainRefused as error:
        _say(act, found, f"the contract refuses: {error_name(error.revert_data)} ({error.message})")
        return None
    made = sender.prepare(chain, account, signer, call, gas, act=act, step=label)
    if made is None:
        return None
    _say(act, found, "a transaction is on its way", ready_at=act.ready_at if act.step == step.label else None)
    sender.send(chain, made)
    return step.key


def schedule_label(step: Step, number: int) -> str:
    """The name under which a step was scheduled for the n-th time."""
    return f"{step.label}: schedule {number}"


def _was_taken_back(act: ChainAct, step: Step, stands: scheduling.Standing) -> bool:
    """Whether this act scheduled it the last time, and it is not any more although it has not lapsed."""
    ours = act.transactions.filter(step=schedule_label(step, stands.number), succeeded=True, state__in=SUCCESSFUL)
    if not ours.exists():
        return False
    return act.ready_at is None or stands.now < act.ready_at + scheduling.LAPSES_AFTER


def _gas(chain: Chain, call: ContractCall, key: str) -> int:
    asked = {"data": "0x" + call.data.hex(), "from": key} | ({"to": call.to} if call.to else {})
    return int(chain.call("eth_estimateGas", asked, "latest"), 16) * 5 // 4  # storage may be colder by then


def _say(act: ChainAct, found: Look, said: str, *, ready_at: datetime | None = None) -> None:
    assert found.step is not None, "an act without a next step is done"
    key = found.step.key if isinstance(found.step, Step) else ""
    note(
        act,
        said=said,
        step=found.step.label,
        key=key,
        ready_at=ready_at,
        steps_done=found.done,
        steps_known=found.known,
        made=found.made,
    )


def note(act: ChainAct, *, said: str, **changed: object) -> None:
    """Remember how far an act is, if that is news."""
    said_now: dict[str, object] = {"said": said[:300], **changed}
    news = {name: value for name, value in said_now.items() if getattr(act, name) != value}
    if not news:
        return
    with transaction.atomic():
        ChainAct.objects.filter(id=act.id, state__in=ChainAct.UNFINISHED).update(**news)
        events.notify(events.PAGES_CHANNEL, f"act:{act.id}")
    for name, value in news.items():
        setattr(act, name, value)
