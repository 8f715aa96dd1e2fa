"""The alarms: each with its severity, how long it must hold, what is at stake, what to do first, and where in the
runbook the rest stands. One list: what is stored, shown, sent, told to Prometheus and documented comes from it.

A rule is CRITICAL when money or a client's way out is at stake within the hour, or nobody would know if it were; a
WARNING waits for the morning of a working day.
"""

from collections.abc import Iterable
from functools import lru_cache

from django.conf import settings

from intermediary.config.operations import findings, note_rules
from intermediary.config.operations.figures import Figures
from intermediary.config.operations.findings import Finding
from intermediary.config.operations.limits import Limits
from intermediary.config.operations.rows import Alarm
from intermediary.config.operations.rule import Rule as Rule
from intermediary.config.operations.rule import slug as slug

CRITICAL, WARNING = Alarm.Severity.CRITICAL, Alarm.Severity.WARNING
RUNBOOK = "docs/operations.md"


def _trouble(kinds: str) -> str:
    return f'bulkhead_sender_trouble_age_seconds{{{{kind=~"{kinds}"}}}} > 0'


def _break(kinds: str) -> str:
    return f'bulkhead_reconciliation_breaks{{{{kind=~"{kinds}"}}}} > 0'


OTHERS = "|".join(sorted(findings.OF_ITS_OWN))
RULES: tuple[Rule, ...] = (
    Rule(
        "finality_broken",
        "The chain took back a final block",
        CRITICAL,
        "Money was booked on a block that is gone; nothing the platform says of the chain may be trusted.",
        "Stop poster and approver. Do not restart the watcher to make it go away.",
        'bulkhead_process_problem_age_seconds{{problem="finality_broken"}} > 0 or ' + _break("reorg"),
        findings.finality_broken,
    ),
    Rule(
        "fenced",
        "The chain is ahead of the database",
        CRITICAL,
        "The database forgot what it once sent, or another one is in use: nothing is sent, so nothing is done twice.",
        "Find out which database this is. A restored one is rebuilt by manage.py rebuild_from_chain.",
        "bulkhead_fence_age_seconds > 0",
        findings.fenced,
    ),
    Rule(
        "rpc_disagreement",
        "Nodes disagree on a final block",
        CRITICAL,
        "One of them shows another chain. Nothing leaves meanwhile; deposits are still read.",
        "Ask a third source which hash that block has; take the wrong node out of CHAIN_RPC_URLS.",
        "bulkhead_witnesses_agree == 0",
        findings.open_breaks("witnesses"),
    ),
    Rule(
        "reconciliation_break",
        "Ledger and chain differ",
        CRITICAL,
        "Somebody's money is not where the books say, in one place by one amount.",
        "Open Reconciliation; stop the poster when anything is missing on the ledger's side or there twice.",
        f'bulkhead_reconciliation_breaks{{{{kind!~"{OTHERS}"}}}} > 0',
        findings.differences,
    ),
    Rule(
        "key_used_elsewhere",
        "Somebody else used a nonce of ours",
        CRITICAL,
        "The poster's or operator's key signs where we did not: it may be in other hands.",
        "Find the transaction. Unless one of you sent it, take the key out of use now.",
        "increase(bulkhead_transactions_displaced_total[1d]) > 0",
        findings.key_used_elsewhere,
    ),
    Rule(
        "approver_refused",
        "The approver refused",
        CRITICAL,
        "The poster asked for a signature the ledger does not bear out: a fault, or a poster in other hands.",
        "Read what was refused and why on the page Stuck, before anything is tried again.",
        "bulkhead_approvals_refused > 0 or " + _break("approval"),
        findings.approver_refused,
    ),
    Rule(
        "beat_old",
        "A house has not heard of us for a day",
        CRITICAL,
        "After seven days of silence every vault is free: clients' margin no longer secures anything.",
        "Get one batch or beat on chain: look at poster, its key's coins, and the node.",
        "bulkhead_house_silent_seconds > {beat_seconds:.0f}",
        findings.beat_old,
    ),
    Rule(
        "nonce_stuck",
        "A transaction gets into no block",
        CRITICAL,
        "Nothing else leaves under that key: movements, notices and beats wait behind it.",
        "Compare its fee with the chain's base fee; see whether the node has it at all.",
        "bulkhead_transaction_in_flight_age_seconds > {nonce_stuck_seconds:.0f}",
        findings.nonce_stuck,
    ),
    Rule(
        "fee_cap",
        "A transaction waits at the highest fee allowed",
        CRITICAL,
        "The chain is dearer than we may pay; nothing else leaves under that key until it is cheaper or two decide.",
        "Decide with a second person whether the cap is to be raised tonight.",
        _trouble("fee_cap"),
        findings.trouble("fee_cap"),
    ),
    Rule(
        "nonce_in_doubt",
        "It is not known who used a nonce",
        CRITICAL,
        "Sending on could pay twice, so nothing is sent under that key.",
        "Ask a second node for the key's transactions at that nonce.",
        _trouble("nonce"),
        findings.trouble("nonce"),
    ),
    Rule(
        "signer_away",
        "A key does not sign",
        CRITICAL,
        "Nothing that needs it leaves; nothing is lost meanwhile.",
        "Look at the signer's process or service, then at its token and its limits.",
        _trouble("signer_away|signer_refuses"),
        findings.trouble("signer_away", "signer_refuses"),
        hold_seconds=60,
    ),
    Rule(
        "node_refuses",
        "The node refuses a signed transaction",
        WARNING,
        "It is sent again; until a node takes it nothing else leaves under that key.",
        "Read the node's words: no coins for fees, a fee below its floor, or a full pool.",
        _trouble("node_refuses"),
        findings.trouble("node_refuses"),
        hold_seconds=60,
    ),
    Rule(
        "gas_low",
        "A key runs out of coins for fees",
        CRITICAL,
        "When they are gone nothing leaves under that key, no beat either.",
        "Send coins of the chain to the key's address.",
        "bulkhead_key_balance_wei < on(chain) group_left() (bulkhead_node_base_fee_wei * {gas_wanted:.0f})",
        findings.gas_low,
    ),
    Rule(
        "outflow_cap",
        "A house has used most of its daily cap",
        WARNING,
        "At the cap payments to clients fail one by one until the day has passed.",
        "Ask the desk what is still to be paid today; two officers raise the cap, at once if payments would fail.",
        "bulkhead_house_outflow_ratio > {outflow_share}",
        findings.outflow_cap,
    ),
    Rule(
        "cap_short",
        "A cap is smaller than a stressed day needs",
        WARNING,
        "On a day like those for which margin is held, payments would fail at the cap.",
        "Two officers raise a house's cap or a credit's limit; for a vault's its client signs new terms.",
        "bulkhead_caps_short > 0",
        findings.cap_short,
    ),
    Rule(
        "watcher_stands",
        "The watcher does not read the chain",
        CRITICAL,
        "Deposits are not seen. Clocks of margin calls stand still, so nobody defaults for it.",
        "Look whether the process runs and what it says; then at the node.",
        "bulkhead_watcher_look_age_seconds > {watcher_seconds:.0f}",
        findings.watcher_stands,
    ),
    Rule(
        "chain_stands",
        "No new blocks",
        CRITICAL,
        "Nothing is settled, and what clients send is not seen.",
        "Compare the node's head with a public one: the node may stand, or the chain.",
        "bulkhead_chain_still_seconds > {chain_still_seconds:.0f}",
        findings.chain_stands,
    ),
    Rule(
        "node_silent",
        "A chain's node does not answer",
        CRITICAL,
        "Nothing is read or sent; the next configured node only witnesses and does not take over.",
        "Look at the node; put another first in CHAIN_RPC_URLS when it stays away.",
        "bulkhead_node_up == 0",
        findings.node_silent,
        hold_seconds=60,
    ),
    Rule(
        "process_away",
        "A process is away",
        CRITICAL,
        "Its work is not done; what that is stands in the table of processes.",
        "See whether it runs, and read the end of its log.",
        "bulkhead_process_report_age_seconds > {process_seconds:.0f}",
        lambda figures, limits: findings.process_away(tuple(settings.OPERATIONS_PROCESSES))(figures, limits),
        hold_seconds=60,
    ),
    Rule(
        "process_fails",
        "A process fails at every step",
        CRITICAL,
        "It lives, or is started again and again, and gets nothing done.",
        "The alarm names the refusal; find it in this runbook, or read its log.",
        'bulkhead_process_problem_age_seconds{{problem!="finality_broken"}} > {process_fails_seconds:.0f}',
        findings.process_fails,
    ),
    Rule(
        "not_booked",
        "A final event is not in the ledger",
        CRITICAL,
        "A deposit or movement that happened is not booked; calls that it may meet do not lapse.",
        "Read the ledger's reason on the page Stuck; put a deposit that can never count into suspense.",
        "bulkhead_events_unapplied_oldest_age_seconds > {unapplied_seconds:.0f}",
        findings.not_booked,
    ),
    Rule(
        "suspense",
        "A deposit lies in suspense",
        WARNING,
        "Tokens came from a wallet that nobody has proved; they lie in that vault and count for nobody.",
        "Have the client prove the wallet, or agree on the return.",
        _break("unknown_sender"),
        findings.open_breaks("unknown_sender"),
    ),
    Rule(
        "dust",
        "A balance differs by dust",
        WARNING,
        "Less than any payment lies where the books know nothing of it; tolerance is zero all the same.",
        "Ask the issuer whether balances of this token change by themselves.",
        _break("dust"),
        findings.open_breaks("dust"),
    ),
    Rule(
        "approval_waits",
        "The approver does not answer",
        CRITICAL,
        "Batches wait for their second signature: nothing leaves to clients or to houses.",
        "Look at the approver's process and key.",
        "bulkhead_approvals_oldest_age_seconds > {approval_seconds:.0f}",
        findings.approval_waits,
    ),
    Rule(
        "call_stuck",
        "The chain will not take a call",
        WARNING,
        "A notice, seizure, write-down or batch does not get on chain; its tokens are where they were.",
        "Two people try it again or let it fail, on the page Stuck.",
        _break("call"),
        findings.open_breaks("call"),
    ),
    Rule(
        "outbox_old",
        "Movements do not settle",
        WARNING,
        "Payments are instructed in the ledger and not final on chain.",
        "Follow the oldest through Instructions, Batches and Transactions to where it stands.",
        'bulkhead_outbox_oldest_age_seconds{{state!="HELD"}} > {outbox_seconds:.0f}',
        findings.outbox_old,
    ),
    Rule(
        "delivery_failed",
        "An event was given up",
        WARNING,
        "A part of the platform did not act on something that happened, a write-down for instance.",
        "Read the error on the page Stuck, repair, deliver again.",
        'bulkhead_deliveries{{state="FAILED"}} > 0',
        findings.delivery_failed,
    ),
    *note_rules.RULES,
    Rule(
        "clocks_stand",
        "Clocks of margin calls stand still",
        WARNING,
        "Nobody is noticed for a call that may have been met; exposure to late payers grows meanwhile.",
        "Find why deposits cannot be seen; the clocks run again by themselves.",
        "bulkhead_call_clocks_stopped_seconds > 0",
        findings.clocks_stand,
        hold_seconds=60,
    ),
    Rule(
        "market_stands",
        "There is no new market",
        WARNING,
        "Requirements age; no new risk is taken and no close-out goes on.",
        "Read on the page Stuck which exchanges are silent.",
        "bulkhead_market_refused_seconds > {market_seconds:.0f} or bulkhead_market_stuck > 0",
        findings.market_stands,
    ),
    Rule(
        "tick_slow",
        "Requirements do not get done",
        WARNING,
        "Margin calls come late.",
        "Look at the workers of the queue risk, and at the machine's load.",
        "bulkhead_ticks_running_oldest_age_seconds > {tick_seconds:.0f}",
        findings.tick_slow,
    ),
    Rule(
        "not_measured",
        "Stress and layers are not measured",
        WARNING,
        "Stress, distance to calls and the risk of layers are those of a market that is over.",
        "Look at the workers of the queue risk: who measures is cut off after 95 seconds.",
        "bulkhead_measurement_behind_seconds > {unmeasured_seconds:.0f}",
        findings.not_measured,
        hold_seconds=180,
    ),
    Rule(
        "requests_wait",
        "Wishes from pages are not carried out",
        WARNING,
        "Trades, withdrawals and officers' decisions wait for a worker.",
        "Look at beat, the broker, and the workers of the queue risk.",
        "bulkhead_requests_oldest_age_seconds > {request_seconds:.0f}",
        findings.requests_wait,
        hold_seconds=30,
    ),
    Rule(
        "queue_long",
        "A queue grows",
        WARNING,
        "Workers of that queue are away or too slow.",
        "Look at the worker that serves it.",
        "bulkhead_queue_messages > {queue_messages:.0f}",
        findings.queue_long,
        hold_seconds=60,
    ),
    Rule(
        "memory_high",
        "A process of settlement grows",
        WARNING,
        "It will be killed by the kernel at a bad moment; a kill loses nothing.",
        "Restart it at a quiet moment, and keep its log.",
        'bulkhead_process_resident_bytes{{process=~"poster.*|approver.*|watcher.*"}} > {process_bytes:.0f}',
        findings.memory_high,
        hold_seconds=300,
    ),
    Rule(
        "notices_lost",
        "Notices of alarms were given up",
        WARNING,
        "Whoever should be woken is not.",
        "Look at the webhook's receiver or the mail server; both are in the environment.",
        'bulkhead_alarm_notices{{state="GIVEN_UP"}} > 0',
        findings.notices_lost,
    ),
)
BY_KEY = {rule.key: rule for rule in RULES}


@lru_cache(maxsize=1)
def _limits(changed: tuple[tuple[str, float], ...]) -> Limits:
    return Limits(**dict(changed))


def limits() -> Limits:
    """The limits in force. An unknown name in `OPERATIONS_LIMITS` is an error at once."""
    return _limits(tuple(sorted(settings.OPERATIONS_LIMITS.items())))


def find(key: str, figures: Figures) -> list[Finding]:
    """What one rule finds now, however short it has held."""
    return list(BY_KEY[key].find(figures, limits()))


def find_all(figures: Figures) -> Iterable[tuple[Rule, Finding]]:
    """What every rule finds now, in the order of the list."""
    in_force = limits()
    return ((rule, finding) for rule in RULES for finding in rule.find(figures, in_force))
