"""The poster: packs, asks for approval, and sends, one transaction a key at a time.

Batches of movements go out under the poster's key, single calls (notices, seizures, retentions, series, disposals)
under the operator's, and so do acts that two people decided on and the operator may make (`settlement.acts`). A single
call is tried against the chain first: what the chain would refuse now waits without stopping others
(`settlement.holding`).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction, ChainTarget
from settlement import chains, due, fence, holding, packing, sender, sender_alarms
from settlement.acts import delayed
from settlement.acts import driver as acts
from settlement.bindings import contract, known_error, read
from settlement.calls import ContractCall, call_of
from settlement.chain import Chain, ChainRefused, call_object
from settlement.messages import batch_calldata, claim_message
from settlement.models import (
    Approval,
    Batch,
    ChainSender,
    HeldCall,
    TransactionAttempt,
)
from settlement.signer import Signer

State = ChainInstruction.State
# What the contract needs however a movement ends, from its gas tests; the estimate rules when it is higher.
BATCH_GAS, MOVEMENT_GAS, SPARE_GAS = 150_000, 45_000, 200_000
BEAT_AFTER_SECONDS, BEAT_GAS = 24 * 3600, 100_000  # a seventh of the silence that frees every vault
LOOK_AHEAD = 50  # single calls examined in one step; each costs one or two round trips


def step(chain: Chain, signers: Mapping[str, Signer]) -> int:
    """Follow what is in flight, send what is ready, pack; how many transactions were newly sent. Behind a fence only
    signs of life go out."""
    chain_id = chain.id()
    found = due.look()
    if found.is_fenced:
        return _guarded("poster", signers["poster"], found, partial(_keep_alive, chain, signers["poster"]))
    if found.has_refused:
        packing.release_refused()
    sent = 0
    for role, ready in _SERVED.items():
        sent += _serve(chain, role, signers[role], ready, found)
        if found.in_flight and fence.is_up():  # one key's turn may find what puts it up
            return sent
    if found.has_room or found.has_refused or sent:
        for house in packing.with_room(_houses()):
            packing.pack(house, chain_id)
    return sent


def _serve(chain: Chain, role: str, signer: Signer, ready: "Ready", found: due.Due) -> int:
    """One key's turn. While outflow is stopped a house still gets its signs of life: silence would free every vault."""
    is_clear = role not in found.in_flight and role not in found.troubled
    is_ready = role == "operator" or found.has_signed or bool(found.in_flight)
    if role == "operator" and is_clear and not found.has_calls:
        return 0

    def turn(account: ChainSender) -> tuple[bool, int]:
        if not is_clear:
            sender.follow_former(chain, account)
            if not sender.follow(chain, account, signer):
                return False, 0
        if is_ready and not found.is_outflow_stopped:
            return True, ready(chain, account, signer)
        return True, _beat(chain, account, signer) if role == "poster" else 0

    return _guarded(role, signer, found, turn)


def _keep_alive(chain: Chain, signer: Signer, account: ChainSender) -> tuple[bool, int]:
    """Behind a fence the poster's key sends signs of life, and again, in the same bytes, what these rows have in flight
    under it: nothing gets past that nonce before. A batch has a number that the house takes once, so one that another
    database posted meanwhile reverts; of the operator's calls, which have none, nothing is sent."""
    if not sender.follow(chain, account, signer):
        return False, 0
    return True, _beat(chain, account, signer)


def _guarded(role: str, signer: Signer, found: due.Due, turn: Callable[[ChainSender], tuple[bool, int]]) -> int:
    """How many were sent. A key that cannot sign, or whose nonce is in doubt, holds up no other; a person is told."""
    try:
        is_free, sent = turn(sender.account_of(role, signer))
    except Refusal as error:
        if error.code not in sender_alarms.KIND_OF:
            raise
        sender_alarms.tell(sender_alarms.KIND_OF[error.code], role, str(error))
        return 0
    if is_free and role in found.troubled:
        sender_alarms.clear(role, *sender_alarms.KIND_OF.values())
    return sent


def _ready_batch(chain: Chain, account: ChainSender, signer: Signer) -> int:
    for batch in _batches_of_this_chain():
        call = _batch_call(batch)
        try:
            gas_limit = _gas_of_batch(chain, call, signer.address, len(batch.approval.body["message"]["movements"]))
        except ChainRefused as error:
            reason = known_error(error.revert_data) or error.message
            fresh = Q(refused_at=None) | Q(refused_at__lt=timezone.now() - holding.RETRY_AFTER)
            refused = Batch.objects.filter(fresh, id=batch.id)
            refused.update(refusals=F("refusals") + 1, refusal=reason[:200], refused_at=timezone.now())
            holding.give_up_nothing(batch)
            continue
        made = sender.prepare(chain, account, signer, call, gas_limit, batch=batch)
        return _send(chain, made)
    return _beat(chain, account, signer)


def _batches_of_this_chain() -> QuerySet[Batch]:
    next_ones = packing.next_for_the_chain().filter(house__asset__chain__in=chains.asset_chains())
    return next_ones.select_related("house", "approval").order_by("recorded_at")


def _houses() -> QuerySet[ChainTarget]:
    """The houses of the chain that this process works on."""
    houses = ChainTarget.objects.filter(kind=ChainTarget.Kind.HOUSE, asset__chain__in=chains.asset_chains())
    return houses.order_by("asset_id")


def _beat(chain: Chain, account: ChainSender, signer: Signer) -> int:
    """A sign of life to a house that has had no batch for a day: after seven days of silence every vault is free."""
    houses = list(_houses())
    asked = [contract("House").call(house.address, "lastBeat", (), "latest") for house in houses]
    latest, *beats = chain.batch([("eth_getBlockByNumber", ["latest", False]), *asked])
    for house, last_beat in zip(houses, beats, strict=True):
        if int(latest["timestamp"], 16) - int(last_beat, 16) > BEAT_AFTER_SECONDS:
            call = ContractCall(house.address, contract("House").encode("beat"))
            return _send(chain, sender.prepare(chain, account, signer, call, BEAT_GAS))
    return 0


def _batch_call(batch: Batch) -> ContractCall:
    approval = batch.approval
    signature = bytes.fromhex(approval.signature[2:])
    return ContractCall(batch.house.address, batch_calldata(approval.body, approval.signer, signature))


def _gas_of_batch(chain: Chain, call: ContractCall, sender_address: str, movements: int) -> int:
    """A limit of gas under which the batch goes through now. A node finds an estimate by running the batch ten times;
    one run under what the contract's gas tests ask for answers as well, unless a token of this chain needs more."""
    asked = call_object(call.to, call.data, sender_address)
    usual = BATCH_GAS + MOVEMENT_GAS * movements + SPARE_GAS
    try:
        chain.call("eth_call", asked | {"gas": hex(usual)}, "latest")
    except ChainRefused:
        return max(_estimate(chain, call, sender_address) * 5 // 4, usual)
    return usual


def _ready_call(chain: Chain, account: ChainSender, signer: Signer) -> int:
    for instruction in _candidates():
        approval = None
        if instruction.kind == ChainInstruction.Kind.NOTICE:
            approval = _claim_approval(chain, instruction)
            if approval is None:
                continue
        try:
            call = call_of(chain, instruction, approval)
            estimate = _estimate(chain, call, signer.address)
        except ChainRefused as error:
            if known_error(error.revert_data) not in delayed.DELAYED:
                holding.hold_refused(instruction, error)
            elif made := delayed.wait_or_schedule(chain, account, signer, instruction, call):
                return _send(chain, made)
            continue
        except Refusal as error:
            if error.code == "chain_unreachable":
                raise
            holding.hold(instruction, error.code, for_a_person=error.code == "bad_instruction")
            continue
        made = sender.prepare(chain, account, signer, call, estimate * 5 // 4 + SPARE_GAS, instruction=instruction)
        return _send(chain, made)
    return acts.turn(chain, "operator", account, signer)


Ready = Callable[[Chain, ChainSender, Signer], int]
_SERVED: dict[str, Ready] = {"poster": _ready_batch, "operator": _ready_call}


def _send(chain: Chain, made: TransactionAttempt | None) -> int:
    if made is None:  # another process was faster
        return 0
    sender.send(chain, made)
    return 1


def _candidates() -> Iterator[ChainInstruction]:
    """Single calls whose turn has come, oldest first: nothing earlier of their own cell at this target is undecided.
    A house and an escrow serve many cells, and a call that must wait holds up no cell but its own."""
    earlier = packing.in_line().filter(target=OuterRef("target"), cell=OuterRef("cell"), seq__lt=OuterRef("seq"))
    waiting = HeldCall.objects.filter(instruction=OuterRef("pk")).exclude(given_up=False, next_try_at__lte=Now())
    here = ChainInstruction.objects.filter(target__asset__chain__in=chains.asset_chains())
    drafts = here.filter(is_open=True, state=State.DRAFT).exclude(kind__in=packing.MOVEMENTS)
    drafts = drafts.exclude(Exists(earlier)).exclude(Exists(waiting)).select_related("target", "entry")
    yield from drafts.order_by("recorded_at", "seq", "id")[:LOOK_AHEAD]


def _claim_approval(chain: Chain, instruction: ChainInstruction) -> Approval | None:
    """The signature for a claim under the vault's next nonce; asks for it when there is none yet, or when two people
    said to try again after a refusal."""
    vault = instruction.target.address
    nonce = int(read(chain, vault, "MarginVault", "claimNonce")) + 1
    held = HeldCall.objects.filter(instruction=instruction, released_at__isnull=False).first()
    asked = Approval.objects.filter(instruction=instruction).exclude(
        Q(refusal__isnull=False) & Q(signed_at__lt=held.released_at) if held else Q(pk__in=[])
    )
    found = [given for given in asked if given.body["message"]["nonce"] == nonce]
    for given in found:
        if given.signature:
            return given
        if given.refusal is not None:
            holding.hold(instruction, "refused by the approver", for_a_person=True)
    if not found:
        house = ChainTarget.objects.get(kind=ChainTarget.Kind.HOUSE, asset_id=instruction.target.asset_id)
        evidence = "0x" + str(instruction.arguments.get("evidence", "")).removeprefix("0x")
        body = claim_message(house.address, chain.id(), vault, nonce, instruction.amount_base_units, evidence)
        Approval.objects.create(kind=Approval.Kind.CLAIM, body=body, instruction=instruction)
    return None


def _estimate(chain: Chain, call: ContractCall, sender_address: str) -> int:
    return int(chain.call("eth_estimateGas", call_object(call.to, call.data, sender_address), "latest"), 16)
