"""A term sheet as a PDF: the same terms and figures as the page, laid out for paper.

Made on request from the stored figures, the same bytes every time (no clock, no random ids): whoever has the series
and the figures' hash can make it again with this release. Loads ReportLab, so only whoever asks for a PDF imports it.
"""

from io import BytesIO
from math import ceil
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from bonds.portal import coupon_words
from bonds.portal.sheet_drawing import curve_drawing
from bonds.portal.sheet_sensitivities import sensitivities
from bonds.portal.term_sheets import SheetView
from intermediary.money import from_base_units

STYLES = getSampleStyleSheet()
BODY = ParagraphStyle("body", parent=STYLES["BodyText"], fontSize=9, leading=12)
SMALL = ParagraphStyle("small", parent=BODY, fontSize=7, leading=9, textColor=colors.HexColor("#555555"))
CELL = ParagraphStyle("cell", parent=BODY, fontSize=8, leading=10)
NUMBER = ParagraphStyle("number", parent=CELL, alignment=2)
HEADING = ParagraphStyle("heading", parent=STYLES["Heading2"], fontSize=11, spaceBefore=8, spaceAfter=3)
GRID = TableStyle(
    [
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#cccccc")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)
WIDTH = A4[0] - 36 * mm
EXAMPLES = (
    "Kept back of each class past the scheduled maturity at example estimates of the net loss N of a relationship in"
    " default, by the months since its notice. Examples, not forecasts."
)
BEYOND_MEAN = (
    "Shares of principal. VaR: the loss that is not exceeded with that probability over the rest of the term,"
    " {years:.2f} years; ES: the mean loss of the worst cases beyond that level. PLL and EL are of the coming year"
    " where no years are said. Officially relationships default independently once their common distress is given;"
    " under a Student dependence with {degrees:g} degrees of freedom they default together more often: a variant,"
    " which prices nothing and moves nothing of a class with one slice, and no expected loss."
)
ODDS = (
    "By the loss model over the rest of the risk period, as shares of principal; simulated. Assumed, for nothing public"
    " says it of this business: a loss is determined within {determination_days_at_most} days, an estimate is off by at"
    " most {estimate_error:.0%}, and {recovery_share:.0%} of a loss is recovered on average, {recovery_years:g} year"
    " later."
)


def sheet_pdf(view: SheetView) -> bytes:
    """The bytes of the PDF."""
    target = BytesIO()
    paper = SimpleDocTemplate(
        target, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm, bottomMargin=18 * mm,
        title=f"Term sheet {view.series.code}", author="Bulkhead", subject=view.series.title, invariant=1,
    )  # fmt: skip
    foot = _foot(view)
    paper.build(_story(view), onFirstPage=foot, onLaterPages=foot)
    return target.getvalue()


def _story(view: SheetView) -> list[Any]:
    series, terms = view.series, view.terms
    parts: list[Any] = [
        Paragraph(f"Term sheet: {escape(series.title)}", STYLES["Title"]),
        Paragraph(f"{escape(series.code)}. {_dated(view)} All amounts in USDC.", BODY),
        Paragraph("Classes", HEADING),
        _classes(view),
    ]
    if view.figures:
        parts += [
            Paragraph(
                "EL, PFL, PLL: expected loss and probabilities of a first and of a total loss over the coming year, of "
                f"principal; CEL: loss given one. Par spread under the measure {escape(view.figures['measure'])}.",
                SMALL,
            ),
            *_beyond_mean(view),
            Paragraph("Covered relationships", HEADING),
            _slices(view),
            *_curves(view),
            *_sensitivities(view),
            Paragraph("In the published scenarios", HEADING),
            _scenarios(view),
            Paragraph(_reported(view), SMALL),
        ]
    parts += [Paragraph("Terms", HEADING), _terms(view), Paragraph("Extension", HEADING), _extension(view)]
    parts.append(Paragraph(coupon_words.kept_back(terms), BODY))
    parts += _extension_figures(view)
    if terms.document_hashes:
        rows = [["Document", "SHA-256"], *([title, digest] for title, digest in terms.document_hashes)]
        parts += [Paragraph("Documents", HEADING), _table(rows, [0.35, 0.65], numbers=False)]
    return [*parts, Spacer(1, 4 * mm), Paragraph(_hashes(view), SMALL)]


def _dated(view: SheetView) -> str:
    if view.figures is None:
        return "No official valuation has been made of it yet."
    return f"Figures at the valuation of {view.figures['as_of'][:16].replace('T', ' ')} UTC."


def _classes(view: SheetView) -> Table:
    if not view.classes:
        rows = [["Class", "ISIN", "Principal"]]
        faces = enumerate(view.terms.classes)
        rows += [[one.name, one.isin, _usdc(view.terms.face_base_units(index))] for index, one in faces]
        return _table(rows, [0.4, 0.3, 0.3])
    rows = [["Class", "ISIN", "Principal", "Retained", "EL", "PFL", "PLL", "CEL", "Par spread"]]
    for one in view.classes:
        spread = one["par_spread_bps"]
        rows.append(
            [
                one["name"],
                one["isin"],
                _usdc(one["face_base_units"]),
                _usdc(one["retained_base_units"]),
                *(_percent(one[name]) for name in ("expected_loss", "first_loss", "last_loss", "conditional_loss")),
                f"{spread:,} bp" if spread is not None else "none",
            ]
        )
    return _table(rows, [0.13, 0.14, 0.13, 0.12, 0.09, 0.09, 0.09, 0.09, 0.12])


def _beyond_mean(view: SheetView) -> list[Any]:
    """Value at risk, expected shortfall, the Student variant, and expected loss by years where the term is longer."""
    if not view.losses:
        return []
    first = view.losses[0]["loss"]
    heads = [f"{name} {tail['level']:.1%}" for tail in first["tail"] for name in ("VaR", "ES")]
    heads += ["PLL, official", "PLL, Student", "EL, Student"]
    rows = [["Class", *heads, *(f"EL in {years:g} years" for years, _ in first["by_years"])]]
    for one in view.losses:
        loss = one["loss"]
        tails = [tail[name] for tail in loss["tail"] for name in ("value_at_risk", "expected_shortfall")]
        student = loss["student"]
        chances = [
            one["last_loss"],
            student["last_loss"],
            student["expected_loss"],
            *(el for _, el in loss["by_years"]),
        ]
        rows.append([one["name"], *(f"{share:.1%}" for share in tails), *map(_percent, chances)])
    words = BEYOND_MEAN.format(years=first["term_years"], degrees=first["student"]["degrees"])
    return [
        Paragraph("Beyond the mean", HEADING),
        _table(rows, [1 / len(rows[0])] * len(rows[0])),
        Paragraph(words, SMALL),
    ]


def _slices(view: SheetView) -> Table:
    assert view.figures is not None
    rows = [["Relationship", "Attaches at", "Exhausted at", "Loss at these marks", "Basis"]]
    for one in view.figures["slices"]:
        amounts = (one["attach_base_units"], one["detach_base_units"], one["loss_now_base_units"])
        rows.append([one["relationship"], *(_usdc(amount) for amount in amounts), one["basis"].lower()])
    return _table(rows, [0.2, 0.2, 0.2, 0.22, 0.18])


def _curves(view: SheetView) -> list[Any]:
    parts: list[Any] = []
    for relationship, chart in view.curves:
        drawn = curve_drawing(chart)
        title = Paragraph(f"Loss-exceedance curve of {escape(relationship)}", HEADING)
        parts.append(KeepTogether([title, drawn or Paragraph("A book that cannot lose at these marks.", SMALL)]))
    return parts


def _sensitivities(view: SheetView) -> list[Any]:
    """What the sliders of the page say where one assumption is moved."""
    if view.sliders is None:
        return []
    priced = [one for one in view.classes if one["grid"]]
    heads = [f"{one['symbol']}, {figure}" for one in priced for figure in ("EL", "spread")]
    rows = [["If the model is wrong", *heads]]
    for moved in sensitivities(view.sliders["axes"], [one["grid"] for one in priced]):
        figures = [text for el, spread in moved.figures for text in (_percent(el), _basis_points(spread))]
        rows.append([moved.words, *figures])
    shares = [0.34, *(0.66 / len(heads) for _ in heads)]
    said = "One assumption moved at a time, the others as today: expected loss of the coming year and par spread."
    return [Paragraph("Sensitivities", HEADING), _table(rows, shares), Paragraph(said, SMALL)]


def _scenarios(view: SheetView) -> Table:
    names = [f"{one['name']}, lost" for one in view.classes]
    rows = [["Scenario", "Measured for", *names]]
    for row in view.scenarios:
        least, nothing = ("", "nothing") if row["whole"] else ("at least ", "not measured")
        losses = (f"{least}{_usdc(loss)} ({share:.1%})" if loss else nothing for loss, share in row["losses"])
        rows.append([row["title"], f"{row['measured']} of {view.covered}", *losses])
    if len(rows) == 1:
        rows.append(["Not measured yet", f"0 of {view.covered}", *("" for _ in names)])
    return _table(rows, [0.35, 0.15, *(0.5 / len(names) for _ in names)])


def _reported(view: SheetView) -> str:
    days = ", ".join(f"{at:%d %B %Y %H:%M} UTC" for at in view.reported)
    return (
        "Measured for so many of the covered relationships, by their stress reports"
        + (f" at the valuation of {days}" if days else "")
        + "; of one without a report nothing is known, and no loss of it is counted."
    )


def _terms(view: SheetView) -> Table:
    series, terms = view.series, view.terms
    call = f"below {terms.clean_up_call_bps / 100:g}% of the original principal" if terms.clean_up_call_bps else "none"
    kept = f"{terms.retained_bps / 100:g}% of every class in every slice" if terms.retained_bps else "no vertical slice"
    until = f"until {terms.long_stop:%d %B %Y}" if terms.long_stop else "whenever they come"
    rows = [
        ["Risk period", f"{series.issue_date:%d %B %Y} to {series.scheduled_maturity:%d %B %Y}"],
        ["Final maturity", f"{series.final_maturity:%d %B %Y}, the hard stop of an extension"],
        ["Coupon", f"{coupon_words.coupon(terms)}; {terms.day_count} on each day's principal, every "
                   f"{terms.months_between_coupons} months"],
        ["Who is paid", coupon_words.record(terms)],
        ["Who pays it", coupon_words.payer(terms)],
        ["Denomination", _usdc(terms.denomination_base_units)],
        ["Transfers", terms.transfers],
        ["Trigger", terms.trigger],
        ["Loss determined", f"within {terms.loss_determination_days} days of the notice, then "
                            f"{terms.challenge_seconds // 3_600} hours to challenge it"],
        ["Retained", kept],
        ["Clean-up call", call],
        ["Recoveries", f"reach written-down units {until}"],
    ]  # fmt: skip
    return _table(rows, [0.25, 0.75], numbers=False, head=False)


def _extension(view: SheetView) -> Table:
    rows = [["Since the notice", "Kept back of the estimated loss"]]
    rows += [[words, f"{factor} times"] for words, factor in view.buffers]
    return _table([*rows, [f"{view.series.final_maturity:%d %B %Y}", "nothing any more"]], [0.5, 0.5], numbers=False)


def _extension_figures(view: SheetView) -> list[Any]:
    """At example estimates of N what each class keeps back; then how likely an extension is, where a sheet says it."""
    parts: list[Any] = [Paragraph("Extension in figures", HEADING), Paragraph(EXAMPLES, SMALL)]
    steps = [words for words, _ in view.buffers]
    last = f"{view.series.final_maturity:%d %B %Y}"
    rows = [["Relationship", "Estimated N", "Class", "Principal", *steps, last]]
    for item in view.examples:
        names = ", ".join(item.relationships)
        rows += [
            [names, _usdc(example.estimate), one.symbol, _usdc(one.principal), *map(_usdc, one.kept), "0"]
            for example in item.examples
            for one in example.classes
        ]
    parts.append(_table(rows, [1 / len(rows[0])] * len(rows[0])))
    if view.extended:
        rows = [["Class", "Anything kept", "Share kept", "Mean years if so", "Written down", "Written up"]]
        for one in view.extended:
            found = one["extension"]
            kept, down = (
                [_percent(found[name]["value"]) for name in names]
                for names in (("probability_reserved", "reserved"), ("written_down", "written_up"))
            )
            rows.append([one["symbol"], *kept, f"{found['extension_years_if_reserved']:.2f}", *down])
        assumed = view.extended[0]["extension"]["assumed"]
        parts += [Spacer(1, 2 * mm), _table(rows, [1 / 6] * 6), Paragraph(ODDS.format(**assumed), SMALL)]
    return parts


def _hashes(view: SheetView) -> str:
    figures = f" Hash of the figures: {view.digest}." if view.digest else ""
    return f"Hash of the terms: {view.series.terms_hash}.{figures} The document pack is law; this sheet sums it up."


def _table(rows: list[list[str]], shares: list[float], *, numbers: bool = True, head: bool = True) -> Table:
    made = []
    for row_number, row in enumerate(rows):
        strong = head and row_number == 0
        made.append(
            [
                Paragraph(f"<b>{escape(text)}</b>" if strong or (not head and column == 0) else escape(text),
                          NUMBER if numbers and column else CELL)
                for column, text in enumerate(row)
            ]
        )  # fmt: skip
    return Table(made, colWidths=[share * WIDTH for share in shares], repeatRows=int(head), style=GRID)


def _foot(view: SheetView) -> Any:
    def draw(canvas: Canvas, _paper: Any) -> None:
        canvas.setFont("Helvetica", 7)
        canvas.setFillColor(colors.HexColor("#555555"))
        canvas.drawString(18 * mm, 10 * mm, f"{view.series.code} · terms {view.series.terms_hash[:16]}")
        canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"{canvas.getPageNumber()}")

    return draw


def _usdc(amount_base_units: int) -> str:
    return f"{from_base_units(amount_base_units, 6):,.0f}"


def _basis_points(spread_bps: float) -> str:
    """Rounded up but for the noise of the grid, as the page's sliders round."""
    return f"{ceil(spread_bps - 0.05):,} bp"


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%" if share >= 1e-5 or share == 0 else "below 0.001%"
