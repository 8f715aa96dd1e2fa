"""The form of an international securities identification number (ISO 6166): country, nine characters, check digit.

The check digit is Luhn's over the letters written as numbers (A = 10 .. Z = 35). That a number of this form was ever
given to anything only its issuer knows; a demonstration's are of a form that no agency gives out. Standard library.
"""

import re

FORM = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
STEM = 11  # characters before the check digit


def is_isin(text: str) -> bool:
    """Two capital letters, nine letters or digits, and the check digit that belongs to them."""
    return FORM.fullmatch(text) is not None and with_check_digit(text[:STEM]) == text


def with_check_digit(stem: str) -> str:
    """The whole number from its first eleven characters."""
    digits = [int(digit) for letter in stem for digit in str(int(letter, 36))]
    doubled = [2 * digit if place % 2 == 0 else digit for place, digit in enumerate(reversed(digits))]
    return f"{stem}{-sum(digit // 10 + digit % 10 for digit in doubled) % 10}"
