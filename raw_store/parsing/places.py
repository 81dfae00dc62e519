"""Where in a text a parser stopped, in words for an error message."""

_AROUND = 30
"""Characters shown on either side."""


def place(text: str, at: int, *, first_line: int = 1) -> str:
    """`line 3, column 9, between '{"mag": ' and 'nul}'`: the character `at`, both from 1.

    `first_line` is the number of the text's first line in the body.
    """
    line_start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    before = text[max(line_start, at - _AROUND) : at]
    after = text[at : min(line_end, at + _AROUND)].rstrip("\r")
    line = first_line + text.count("\n", 0, at)
    where = f"line {line}, column {at - line_start + 1}"
    if before and after:
        return f"{where}, between {before!r} and {after!r}"
    if before:
        return f"{where}, after {before!r}"
    return f"{where}, before {after!r}" if after else where


def offset_of(text: str, line: int, column: int) -> int:
    """The offset of a line and column, both from 1; the nearest there is."""
    start = 0
    for _ in range(line - 1):
        end = text.find("\n", start)
        if end < 0:
            break
        start = end + 1
    return min(len(text), start + max(column, 1) - 1)
