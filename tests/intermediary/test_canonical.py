"""JSON from outside: read as it is, refused before the parser when it is nested beyond anything of ours."""

import subprocess
import sys

import pytest

from intermediary.canonical import DEEPEST, read_json


def test_what_is_shallow_is_read() -> None:
    assert read_json('{"a": [1, "]]]", {"b": null}]}') == {"a": [1, "]]]", {"b": None}]}
    nested = "[" * DEEPEST + "]" * DEEPEST
    assert read_json(nested)


@pytest.mark.parametrize("text", ["[" * (DEEPEST + 1), '{"a":' * 200, "[[{" * 100_000, "{", ""])
def test_what_is_deep_or_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_a_process_that_knows_the_chain_survives_a_deep_text() -> None:
    """The chain's library lets Python recurse so far that the parser itself would end the process."""
    program = (
        "import sys, web3; from intermediary.canonical import read_json; assert sys.getrecursionlimit() >= 100_000\n"
        "try: read_json('[' * 100_000)\nexcept ValueError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "refused")
