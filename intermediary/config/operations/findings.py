"""What each rule finds in the figures: where it holds, and in words. Pure; an empty answer means that all is well."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from intermediary.config.operations.figures import Figures, Waiting
from intermediary.config.operations.limits import BATCH_GAS, Limits

SETTLING = ("poster", "approver", "watcher")  # processes whose memory is bounded
FINALITY_BROKEN = "finality_broken"
OF_ITS_OWN = {"witnesses", "reorg", "approval", "unknown_sender", "dust", "not_applied", "call", "delivery"}


@dataclass(frozen=True)
class Finding:
    """One place where a rule holds, and what is said there."""

    subject: str
    said: str


Find = Callable[[Figures, Limits], Iterator[Finding]]


def duration(seconds: float) -> str:
    """`95 s`, `12 min`, `3 h 20 min`, `4 d 3 h`."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if hours < 2:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def trouble(*kinds: str) -> Find:
    """What a process of settlement says of a key of its own."""

    def find(figures: Figures, _limits: Limits) -> Iterator[Finding]:
        for one in figures.troubles:
            if one.kind in kinds:
                yield Finding(f"{one.role} on {one.chain}", f"for {duration(one.age_seconds)}: {one.detail}")

    return find


def open_breaks(*kinds: str) -> Find:
    """Breaks of these kinds that no later comparison has closed."""

    def find(figures: Figures, _limits: Limits) -> Iterator[Finding]:
        yield from (_break(figures, kind, found) for kind, found in figures.breaks.items() if kind in kinds)

    return find


def differences(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    """Every kind of break that has no alarm of its own: whatever is new is taken for grave."""
    yield from (_break(figures, kind, found) for kind, found in figures.breaks.items() if kind not in OF_ITS_OWN)


def _break(figures: Figures, kind: str, found: Waiting) -> Finding:
    more = f" and {found.count - 1} more" if found.count > 1 else ""
    place = figures.break_places.get(kind, "")
    return Finding(kind, f"{place}{more}, for {duration(found.oldest_seconds)}")


def nonce_stuck(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for one in figures.flights:
        if one.age_seconds > limits.nonce_stuck_seconds:
            fee = f"{one.max_fee_wei / 1e9:.2f} of at most {one.fee_cap_wei / 1e9:.2f} gwei"
            said = f"nonce {one.nonce} for {duration(one.age_seconds)}, {one.attempts} attempts, {fee}, last {one.hash}"
            yield Finding(f"{one.role} on {one.chain}", said)


def key_used_elsewhere(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    for (chain, role), found in figures.displaced.items():
        if found.oldest_seconds < 24 * 3600:
            yield Finding(
                f"{role} on {chain}", f"a nonce of ours was used by a transaction that is not: {found.count} in all"
            )


def beat_old(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for house in figures.houses:
        if house.silent_seconds is not None and house.silent_seconds > limits.beat_seconds:
            silent = duration(house.silent_seconds)
            yield Finding(f"house {house.asset}", f"no batch and no beat for {silent}; vaults fall free after 7 d")


def finality_broken(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for process in figures.processes.values():
        if process.problem == FINALITY_BROKEN:
            yield Finding(process.name, f"for {duration(process.problem_seconds)}: {process.said}")
    yield from open_breaks("reorg")(figures, limits)


def fenced(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    yield from (Finding(one.chain, f"for {duration(one.age_seconds)}: {one.reason}") for one in figures.fences)


def approver_refused(figures: Figures, limits: Limits) -> Iterator[Finding]:
    if figures.approvals_refused:
        yield Finding("", f"{figures.approvals_refused} refused in the last ten minutes")
    yield from open_breaks("approval")(figures, limits)


def approval_waits(figures: Figures, limits: Limits) -> Iterator[Finding]:
    if figures.approvals.oldest_seconds > limits.approval_seconds:
        said = f"{figures.approvals.count} unanswered, the oldest for {duration(figures.approvals.oldest_seconds)}"
        yield Finding("", said)


def not_booked(figures: Figures, limits: Limits) -> Iterator[Finding]:
    found = figures.unapplied
    if found.oldest_seconds > limits.unapplied_seconds:
        yield Finding("", f"{found.count} final events, the oldest read {duration(found.oldest_seconds)} ago")
    else:
        yield from open_breaks("not_applied")(figures, limits)


def delivery_failed(figures: Figures, limits: Limits) -> Iterator[Finding]:
    failed = figures.deliveries.get("FAILED", Waiting())
    if failed.count:
        yield Finding("", f"{failed.count} given up, the oldest from {duration(failed.oldest_seconds)} ago")
    else:
        yield from open_breaks("delivery")(figures, limits)


def notes_misplaced(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    for symbol, units in figures.misplaced.items():
        yield Finding(symbol, f"{units / 1e6:,.6f} units lie in no holding")


def collateral_short(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    for code, missing in figures.short_escrows.items():
        yield Finding(code, f"{missing / 1e6:,.6f} less in the escrow than principal and what holders are owed")


def holders_ending(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    if figures.holders_ending:
        yield Finding("", f"{figures.holders_ending} wallets that hold notes, within a month or already")


def suspension_due(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    yield from (Finding(series, words) for series, words in figures.suspensions_due.items())


def watcher_stands(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for name, chain in figures.chains.items():
        looked = chain.looked_seconds
        if looked is not None and looked > limits.watcher_seconds:
            yield Finding(name, f"the chain was last read to its head {duration(looked)} ago")


def chain_stands(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for name, chain in figures.chains.items():
        still = chain.still_seconds
        if still is not None and still > limits.chain_still_seconds:
            yield Finding(name, f"no new block that every node knows for {duration(still)}, the last is {chain.head}")


def node_silent(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    yield from (Finding(name, node.problem) for name, node in figures.nodes.items() if node.problem)


def process_away(expected: tuple[str, ...]) -> Find:
    """Processes that must run and have not said for a while that they do."""

    def find(figures: Figures, limits: Limits) -> Iterator[Finding]:
        for name in expected:
            process = figures.processes.get(name)
            if process is None:
                yield Finding(name, "it has never reported")
            elif process.age_seconds > limits.process_seconds:
                said = f"last seen {duration(process.age_seconds)} ago on {process.host}"
                yield Finding(name, said + (f", failing on {process.problem}" if process.problem else ""))

    return find


def process_fails(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for one in figures.processes.values():
        if one.problem not in ("", FINALITY_BROKEN) and one.problem_seconds > limits.process_fails_seconds:
            yield Finding(one.name, f"for {duration(one.problem_seconds)}: {one.problem} {one.said}".strip())


def outbox_old(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for state, found in figures.outbox.items():
        if state != "HELD" and found.oldest_seconds > limits.outbox_seconds:
            yield Finding(state, f"{found.count} instructions, the oldest for {duration(found.oldest_seconds)}")


def outflow_cap(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for name, node in figures.nodes.items():
        for asset, share in node.outflow_share.items():
            if share > limits.outflow_share:
                yield Finding(f"house {asset} on {name}", f"{share:.0%} of what may leave in a day has left")


def cap_short(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    for name, node in figures.nodes.items():
        for place, (cap, needed) in node.cap_short.items():
            yield Finding(
                f"{place} on {name}", f"{cap / 1e6:,.0f} a day, a stressed day needs {needed / 1e6:,.0f} USDC"
            )


def gas_low(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for name, node in figures.nodes.items():
        wanted = limits.gas_batches * BATCH_GAS * 2 * node.base_fee_wei
        for role, held in node.gas_wei.items():
            if held < wanted:
                said = f"{held / 1e18:.4f} of {wanted / 1e18:.4f} coins for {limits.gas_batches:.0f} batches"
                yield Finding(f"{role} on {name}", said)


def clocks_stand(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    if figures.clock_stopped_seconds is not None:
        yield Finding("", f"for {duration(figures.clock_stopped_seconds)}, with {figures.calls_open} open calls")


def market_stands(figures: Figures, limits: Limits) -> Iterator[Finding]:
    refused = figures.market_refused_seconds
    if refused is not None and refused > limits.market_seconds:
        yield Finding("", f"the exchanges give no market for {duration(refused)}")
    elif figures.market_stuck:
        yield Finding("", "a market's requirements did not get done, and none has overtaken it")


def tick_slow(figures: Figures, limits: Limits) -> Iterator[Finding]:
    if figures.tick.oldest_seconds > limits.tick_seconds:
        yield Finding("", f"requirements are being computed for {duration(figures.tick.oldest_seconds)}")


def not_measured(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for what, behind in figures.unmeasured_seconds.items():
        if behind > limits.unmeasured_seconds:
            yield Finding(what, f"measured in no market of the last {duration(behind)}")


def requests_wait(figures: Figures, limits: Limits) -> Iterator[Finding]:
    found = figures.requests
    if found.oldest_seconds > limits.request_seconds:
        yield Finding("", f"{found.count} wishes from pages, the oldest for {duration(found.oldest_seconds)}")


def memory_high(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for name, process in figures.processes.items():
        if name.partition("@")[0] in SETTLING and process.rss_bytes > limits.process_bytes:
            lived = duration(process.lived_seconds)
            yield Finding(
                name, f"{process.rss_bytes / 1e6:.0f} MB after {lived}, at most {limits.process_bytes / 1e6:.0f}"
            )


def queue_long(figures: Figures, limits: Limits) -> Iterator[Finding]:
    for queue, waiting in (figures.round.queues if figures.round else {}).items():
        if waiting > limits.queue_messages:
            yield Finding(queue, f"{waiting} messages wait")


def notices_lost(figures: Figures, _limits: Limits) -> Iterator[Finding]:
    if figures.notices.get("GIVEN_UP"):
        yield Finding("", f"{figures.notices['GIVEN_UP']} notices given up in the last seven days")
