"""From when on a figure is an alarm. Each limit has its reason; `OPERATIONS_LIMITS`, a JSON object, changes some."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds where nothing else is said."""

    # Twenty-five blocks of a chain that makes one in twelve seconds, and eight raises of the fee: no traffic of
    # others explains it any more.
    nonce_stuck_seconds: float = 300
    # The poster shows itself after a day of silence; what it then sends is final within a quarter of an hour. Vaults
    # fall free after seven days, so six are left to do something.
    beat_seconds: float = 24 * 3600 + 900
    # The watcher notes twice a second that it reads; clocks of margin calls stop after half a minute.
    watcher_seconds: float = 60
    # Ten blocks of a slow chain, and what the watcher itself calls a chain that stands.
    chain_still_seconds: float = 180
    # Reports are five seconds apart, and the longest step of any process, a task at its hard limit, takes sixty.
    process_seconds: float = 90
    # A restart, with the time in which a loaded machine comes back, is shorter.
    process_fails_seconds: float = 60
    # The approver answers within a second of being asked.
    approval_seconds: float = 120
    # A movement is final three to sixteen minutes after it was instructed, by the finality of the chain.
    outbox_seconds: float = 30 * 60
    # A final deposit is booked at once; a second try comes with the next final block.
    unapplied_seconds: float = 120
    # The share of a house's daily cap that was used: what is left must cover a stressed day's variation margin.
    outflow_share: float = 0.7
    # A key must be able to pay for so many full batches at twice today's fee: a day's, and time to fill it up.
    gas_batches: float = 20
    # A tick takes a second or two, one that was lost is asked for again after twenty.
    tick_seconds: float = 120
    # The exchanges are asked every ten seconds; no new risk is taken when the market is too old.
    market_seconds: float = 120
    # Everybody is measured a minute after the last time was done, which takes one or two for 10,000 relationships;
    # what was lost is asked for again after five.
    unmeasured_seconds: float = 600
    # A wish on a page is carried out within two seconds.
    request_seconds: float = 60
    # What each process of settlement stays under, measured over hours; more is a leak.
    process_bytes: float = 300e6
    # Wake-ups expire after five seconds: so many can only wait when no worker takes any.
    queue_messages: float = 500
    # Four look rounds.
    round_seconds: float = 120


BATCH_GAS = 5_600_000  # of a batch of two hundred movements, at most
