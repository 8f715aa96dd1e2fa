"""Every page as a person sees it: which pages there are, who looks at them, and their pictures.

A picture is of the whole page, at a desk's width and a phone's, light and dark. What goes wrong while a page is drawn
(an error of a script, something the content policy refused, content wider than the window) is told with the picture.
Needs a Chromium; playwright, which only tests need, is loaded when a browser is opened.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from bonds.models import Series
from intermediary.models import Cell, CommandRequest, DefaultCase, MarginCall, Proposal, Trade

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

# No sandbox: in a container root has no other way. The rest keeps the browser from talking to anyone but us.
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {1440: 900, 390: 844}  # width: height
SCHEMES = ("light", "dark")
TALLEST = 8_000  # px of a picture that the browser still draws in one piece
SETTLE_MS = 700  # charts are drawn and live values have stopped flashing
CLIENT, DEFAULTER = "R-106", "R-108"
LOGIN_OF = {CLIENT: "client.family", DEFAULTER: "client.directional"}
INVESTOR, OFFICER = "investor.pension", "officer.checker"
Prepare = Callable[["Page"], object]


@dataclass(frozen=True)
class Screen:
    """One page: its name, its path, who looks at it (nobody signed in when empty), and what is done on it first."""

    name: str
    path: str
    login: str = ""
    prepare: Prepare | None = None


@contextmanager
def chromium(executable: str) -> Iterator["Browser"]:
    """A headless Chromium with a profile of its own, gone at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def watch(page: "Page") -> list[str]:
    """What goes wrong on this page from now on; the list grows. A refusal by the content policy is a console error."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    return problems


def sign_in(page: "Page", address: str, username: str) -> None:
    """By the demonstration's log-in of one click."""
    page.goto(f"{address}{reverse('sign_in')}")
    page.locator(f"button[value='{username}']").click()
    page.wait_for_url(lambda url: "/sign-in/" not in url)


def crash_screens() -> list[Screen]:
    """Every page, in a world where calls run."""
    return [*_public(), *_client(CLIENT), *_client_in_trouble(), *_investor(), *_officer()]


def default_screens() -> list[Screen]:
    """The pages that a default changes."""
    case = DefaultCase.objects.get()
    series = Series.objects.get()
    room = reverse("admin:default_room", args=[case.id])
    return [
        Screen("default-register", reverse("register")),
        Screen("default-home", reverse("home")),
        Screen("default-client", reverse("portal:overview", args=[DEFAULTER]), LOGIN_OF[DEFAULTER]),
        Screen("default-isolation", reverse("portal:isolation", args=[CLIENT]), LOGIN_OF[CLIENT]),
        Screen("default-holdings", reverse("investor:holdings"), INVESTOR),
        Screen("default-series", reverse("investor:series", args=[series.id]), INVESTOR),
        Screen("default-desk", reverse("admin:index"), OFFICER),
        Screen("default-list", reverse("admin:defaults"), OFFICER),
        Screen("default-room", room, OFFICER),
        Screen("default-approvals", reverse("admin:approvals"), OFFICER),
        Screen("default-recovery", reverse("admin:recovery"), OFFICER),
    ]


def _public() -> list[Screen]:
    pages = ("home", "register", "rulebook", "glossary", "status", "verify", "sign_in")
    found = [Screen(f"public-{name.replace('_', '-')}", reverse(name)) for name in pages]
    series = Series.objects.get()
    return [
        *found,
        Screen("public-all-series", reverse("investor:all_series")),
        Screen("public-series", reverse("investor:series", args=[series.id])),
        Screen("public-not-found", "/nothing-here/"),
    ]


def _client(code: str) -> list[Screen]:
    pages = (
        "overview", "positions", "trades", "new_trade", "what_if", "calls", "collateral", "deposit", "wallets",
        "withdraw", "credit", "risk", "isolation", "terms", "statements",
    )  # fmt: skip
    login, cell = LOGIN_OF[code], Cell.objects.get(code=code)
    found = [
        Screen(f"client-{name.replace('_', '-')}", reverse(f"portal:{name}", args=[code]), login) for name in pages
    ]
    found.append(Screen("client-vault", reverse("vault", args=[code]), login))
    found.append(Screen("client-withdraw-review", reverse("portal:withdraw", args=[code]), login, _fill_in_an_amount))
    asked = CommandRequest.objects.filter(command="what_if", cell=cell).first()
    if asked is not None:
        path = f"{reverse('portal:what_if', args=[code])}?request={asked.id}"
        found.append(Screen("client-what-if-answer", path, login))
    found.append(Screen("client-deposit-review", reverse("portal:deposit", args=[code]), login, _fill_in_an_amount))
    trade = Trade.objects.filter(buyer=cell).first() or Trade.objects.filter(seller=cell).first()
    if trade is not None:
        found.append(Screen("client-trade", reverse("portal:answer_trade", args=[code, trade.id]), login))
    return found


def _fill_in_an_amount(page: "Page") -> None:
    page.locator("[name=amount]").fill("100,000")
    page.get_by_role("button", name="Review").click()


def _client_in_trouble() -> list[Screen]:
    login = LOGIN_OF[DEFAULTER]
    found = [
        Screen("called-overview", reverse("portal:overview", args=[DEFAULTER]), login),
        Screen("called-calls", reverse("portal:calls", args=[DEFAULTER]), login),
        Screen("called-explain", reverse("portal:overview", args=[DEFAULTER]), login, _open_the_derivation),
    ]
    call = MarginCall.objects.filter(cell__code=DEFAULTER).order_by("-at").first()
    if call is not None:
        found.append(Screen("called-call", reverse("portal:answer_call", args=[DEFAULTER, call.id]), login))
    return found


def _open_the_derivation(page: "Page") -> None:
    page.locator("[data-opens=explain]").first.click()


def _investor() -> list[Screen]:
    series = Series.objects.get()
    pages = ("holdings", "offerings", "all_series", "eligibility", "take_out", "rolls", "transfers", "statements")
    return [
        *(Screen(f"investor-{name.replace('_', '-')}", reverse(f"investor:{name}"), INVESTOR) for name in pages),
        Screen("investor-series", reverse("investor:series", args=[series.id]), INVESTOR),
        Screen("investor-term-sheet", reverse("investor:term_sheet", args=[series.id]), INVESTOR),
        Screen("investor-collateral", reverse("investor:collateral", args=[series.id]), INVESTOR),
    ]


def _officer() -> list[Screen]:
    pages = (
        "index", "alarms", "approvals", "lines", "defaults", "recovery", "stress", "own_stress", "liquidity", "market",
        "contagion", "backtest", "replay", "start_over", "runbook", "reconciliation", "investors", "series",
        "new_series",
    )  # fmt: skip
    found = [Screen(f"officer-{name.replace('_', '-')}", reverse(f"admin:{name}"), OFFICER) for name in pages]
    found.append(Screen("officer-propose", reverse("admin:propose_line", args=[CLIENT]), OFFICER))
    found.append(Screen("officer-stress-of", reverse("admin:stress_of", args=[DEFAULTER]), OFFICER))
    proposal = Proposal.objects.filter(kind=Proposal.Kind.CREDIT_LINE).order_by("-at").first()
    if proposal is not None:
        found.append(Screen("officer-proposal", reverse("admin:proposal", args=[proposal.id]), OFFICER))
    tables = ("cell", "margincall", "marginstate", "trade", "journalentry", "chaininstruction", "auditrecord")
    found += [
        Screen(f"officer-table-{table}", reverse(f"admin:intermediary_{table}_changelist"), OFFICER) for table in tables
    ]
    cell = Cell.objects.get(code=DEFAULTER)
    found.append(Screen("officer-cell", reverse("admin:intermediary_cell_change", args=[cell.id]), OFFICER))
    return found


@dataclass(frozen=True)
class Picture:
    """One picture taken, and what was wrong on the page."""

    file: Path
    problems: tuple[str, ...]


def shoot(browser: "Browser", address: str, screens: list[Screen], out: Path) -> Iterator[Picture]:
    """Take every screen in every size and scheme; one signed-in session for each person, size and scheme."""
    out.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES.items():
        for scheme in SCHEMES:
            for login in sorted({screen.login for screen in screens}):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    timezone_id="UTC",
                    locale="en-GB",
                )
                mine = [screen for screen in screens if screen.login == login]
                yield from _session(context, address, login, mine, out, f"{width}-{scheme}")
                context.close()


def _session(
    context: "BrowserContext", address: str, login: str, screens: list[Screen], out: Path, suffix: str
) -> Iterator[Picture]:
    page = context.new_page()
    if login:
        sign_in(page, address, login)
    problems = watch(page)
    for screen in screens:
        problems.clear()
        answer = page.goto(address + screen.path)
        if screen.prepare is not None:
            screen.prepare(page)
        page.wait_for_timeout(SETTLE_MS)
        file = out / f"{screen.name}-{suffix}.png"
        _take(page, file)
        yield Picture(file, tuple(_all_problems(page, problems, answer, screen)))


def _take(page: "Page", file: Path) -> None:
    """In a window as tall as the page, so that what is fixed to its edges does not lie across the picture."""
    window = page.viewport_size
    assert window is not None
    tall = min(int(page.evaluate("document.documentElement.scrollHeight")), TALLEST)
    page.set_viewport_size({"width": window["width"], "height": max(window["height"], tall)})
    page.screenshot(path=file, full_page=True, animations="disabled")
    page.set_viewport_size(window)


def _all_problems(page: "Page", problems: list[str], answer: Any, screen: Screen) -> Iterator[str]:
    missing_on_purpose = screen.name == "public-not-found"
    if answer is None or (not answer.ok and not missing_on_purpose):
        yield f"the server answered {answer.status if answer else 'nothing'}"
    yield from (text for text in problems if not (missing_on_purpose and "404" in text))
    beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if beyond > 0:
        yield f"{beyond} px wider than the window"
