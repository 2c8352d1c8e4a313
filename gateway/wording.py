"""marshmallow's messages in the words of a person who does not know marshmallow."""

from __future__ import annotations

_PLAIN = {
    "Missing data for required field.": "is required",
    "Field may not be null.": "must not be null",
    "Not a valid string.": "must be a string",
    "Not a valid integer.": "must be a whole number",
    "Not a valid number.": "must be a number",
    "Not a valid boolean.": "must be true or false",
    "Not a valid list.": "must be a list",
    "Not a valid mapping type.": "must be a mapping of names to values",
    "Invalid input type.": "must be a mapping of names to values",
    "Shorter than minimum length 1.": "must not be empty",
    "Special numeric values (nan or infinity) are not permitted.": "must be a finite number",
}


def plain(message: str) -> str:
    """What is wrong, as the end of a sentence that begins with the field's name."""
    text = _PLAIN.get(message, message).rstrip(".")
    return text[:1].lower() + text[1:]
