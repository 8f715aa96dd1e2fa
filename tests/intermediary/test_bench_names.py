"""Benchmarks give exactly the figures that the documentation promises. They are read here, never run."""

import ast
import re
from pathlib import Path

import pytest

from intermediary.config import benches
from intermediary.config.benches.names import NAMES

SOURCES = Path(benches.__file__).parent
KERNELS = ("kernels", "options", "partial")
MADE_BY = {
    "bonds": ("bonds_loss", "bonds_sampling", "bonds_price", "bonds_remark", "bonds_book", "bonds_coupon"),
    "kernels": KERNELS,
    "risk": (*KERNELS, "what_if", "scale"),
    "scale": ("scale",),
    "settlement": ("settlement", "settle_reconcile"),
    "tick": ("tick",),
}
PARTS = {"risk": ("kernels", "risk", "scale")}  # sections of the documentation, of which one group gives several
PROMISES = Path(__file__).parents[2] / "docs/benchmarks.md"


@pytest.mark.parametrize("group", NAMES)
def test_the_documentation_promises_what_a_group_names(group: str) -> None:
    promised = [name for part in PARTS.get(group, (group,)) for name in _promised(part)]
    assert promised == list(NAMES[group])


def _promised(section: str) -> list[str]:
    _, _, text = PROMISES.read_text().partition(f"## bench {section}\n")
    return re.findall(r"^\| `(\w+)` \|", text.partition("\n## ")[0], re.MULTILINE)


@pytest.mark.parametrize("group", NAMES)
def test_a_group_makes_what_it_names(group: str) -> None:
    """Keys beside a `Figure` in the source; a part that only running fills in stands for any word."""
    made = [pattern for module in MADE_BY[group] for pattern in _keys_of_figures(SOURCES / f"{module}.py")]
    matched = {pattern: [name for name in NAMES[group] if re.fullmatch(pattern, name)] for pattern in made}
    assert all(matched.values()), matched
    assert sorted({name for names in matched.values() for name in names}) == sorted(NAMES[group])


def _keys_of_figures(source: Path) -> list[str]:
    """The key of each figure as a pattern."""
    found = []
    for node in ast.walk(ast.parse(source.read_text())):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            pairs = [(node.targets[0].slice, node.value)]
        found += [_pattern(key) for key, value in pairs if key is not None and _is_figure(value)]
    return found


def _is_figure(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Figure"


def _pattern(key: ast.expr) -> str:
    parts = key.values if isinstance(key, ast.JoinedStr) else [key]
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z]+" for part in parts)
