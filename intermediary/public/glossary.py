"""The vocabulary, once: tooltips at first use and the glossary page read it from here."""

from dataclasses import dataclass

from django.utils.text import slugify


@dataclass(frozen=True)
class Entry:
    """One word: `short` fits a tooltip, `more` is what the glossary adds."""

    name: str
    short: str
    more: str = ""

    @property
    def anchor(self) -> str:
        """Its place on the glossary page."""
        return slugify(self.name)


_ENTRIES = (
    Entry("relationship", "One counterparty under one agreement, with its own vault, ledger cell and layers of loss.",
          "Two relationships share nothing: no margin, no layer, no clock."),
    Entry("intermediary", "The capitalised legal entity that stands between its counterparties.",
          "It holds no position against them: over all relationships every instrument nets to zero."),
    Entry("required margin", "What must be held now: exposure plus independent amount, less the threshold.",
          "required = max(0, exposure + independent amount − threshold)."),
    Entry("held margin", "The value of the tokens in your vault after haircut.",
          "Each asset counts at quantity × price × (1 − haircut)."),
    Entry("free margin", "Held margin above the requirement; you may withdraw it at any time.",
          "Nothing that happens in another relationship can delay it."),
    Entry("headroom", "Held margin less required margin; negative means short.",
          "Warnings are given at 150%, 125% and 110% of the requirement."),
    Entry("exposure", "What you would owe if variation margin were settled now; negative when it is owed to you.",
          "It counts the change of value since the last settlement; a payment on its way counts once."),
    Entry("independent amount", "Initial margin: cover for a loss while a default is worked out.",
          "Expected shortfall over the margin period, plus lines for extremes, jumps, liquidity and wrong-way risk."),
    Entry("margin period", "How long your positions may move before they would be closed out; never below 24 hours.",
          "Valuation interval, delivery, grace, decision, cure and run-down added up: shorter times, less margin."),
    Entry("threshold", "Unsecured exposure that a credit line allows.",
          "It is 0 without a line, and 0 after a default."),
    Entry("netting opinion", "Legal advice that your gains may be set off against your debts if you are insolvent.",
          "Without one every instrument is margined by itself, and exposure counts nothing that you gain."),
    Entry("minimum transfer amount", "The smallest amount that is called or returned."),
    Entry("haircut", "The share of an asset's value that does not count as margin."),
    Entry("variation margin", "Gain or loss, paid in the settlement token from loser to winner by the intermediary."),
    Entry("margin call", "A demand for margin with a deadline. Increments keep deadlines of their own.",
          "Clocks stand still while the platform cannot see deposits."),
    Entry("pledge", "Your statement that the amount is on its way; the call is met when the tokens are final."),
    Entry("margin period of risk", "How long a close-out is assumed to take, for sizing the independent amount."),
    Entry("novation", "One bargain between two clients becomes two contracts, each against the intermediary."),
    Entry("linked lot", "An open trade whose other side was novated with a given relationship.",
          "Only a linked lot can share an UNCOVERED loss, in proportion to its unpaid gain."),
    Entry("UNCOVERED", "Loss beyond every layer of a relationship: a limited-recourse claim of its linked lots.",
          "Positions stay open. Whoever has no linked lot cannot be reached at all."),
    Entry("UNCOVERED probability", "Chance within a year of a default whose loss exceeds margin and all funded layers.",
          "Measured at most once a minute in the market of today and at every valuation in a replay, from the"
          " relationship's own scenario losses, the margin it holds and the default intensity that officers set. An"
          " estimate of the model: it does not know calls still to be met, recoveries, or a failure of"
          " the intermediary, of a venue or of the chain."),
    Entry("coverage call", "A demand for the margin that an existing book's admission test is short of.",
          "It has its own deadline beside a margin call; one deposit counts for both."),
    Entry("layer", "One band of a relationship's net loss, from its attachment to its detachment point.",
          "First loss of the intermediary, then tail bonds, then its senior retention."),
    Entry("first loss", "The intermediary's own money that pays the first part of a relationship's loss."),
    Entry("tail bond", "Notes whose principal pays the next part of the loss; sold to investors who price it."),
    Entry("senior retention", "The intermediary's own money above the tail bonds."),
    Entry("attachment point", "The net loss at which a layer starts to pay."),
    Entry("detachment point", "The net loss at which a layer is used up."),
    Entry("net loss", "Close-out deficit plus costs, less the intermediary's own doing and recoveries.",
          "Layer losses are always recomputed from it, so a recovery refills the most senior layer first."),
    Entry("admission test", "Stressed loss must fit margin and layers before a line or a trade is accepted.",
          "The worst of the published stress scenarios and the expected shortfall at 99.5%."),
    Entry("credit line", "How much may stay unsecured, and which layers must stand behind it."),
    Entry("credit charge", "What the layers behind a relationship cost a year, at the price that investors ask.",
          "Each layer's expected loss under the pricing measure of the notes, times the spread that cleared for the"
          " tail over the model's guidance. A quotation: nothing is billed by it."),
    Entry("ruleset", "The published parameters of the margin model, known by their hash."),
    Entry("official valuation", "A dated set of marks from one immutable market snapshot."),
    Entry("finality", "The chain cannot take a movement back any more; only then does it count."),
    Entry("factor", "Outstanding principal of a note as a share of its original principal."),
    Entry("write-down", "Principal of a note that a determined loss has used."),
    Entry("write-up", "Principal that a recovery gives back."),
    Entry("expected loss", "Mean loss of a layer over a year, as a share of its size (EL)."),
    Entry("probability of first loss", "Chance that a layer loses anything within a year (PFL)."),
    Entry("probability of last loss", "Chance that a layer is used up within a year (PLL)."),
    Entry("reconciliation", "Every balance of the ledger against the chain at each finalized block; tolerance zero."),
)  # fmt: skip
GLOSSARY = {entry.name: entry for entry in _ENTRIES}
