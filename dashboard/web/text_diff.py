"""The difference between two texts, word by word, as <ins> and <del>."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup, escape

TOKENS = re.compile(r"\w+|\n|[^\S\n]+|[^\w\s]")
# comparing is quadratic at worst: beyond this many words the whole text counts as replaced
MAX_TOKENS = 4_000
REMOVED, ADDED = Markup("<del>{}</del>"), Markup("<ins>{}</ins>")
BREAK = Markup('<span aria-hidden="true">¶</span><span class="sr">line break</span>')


@dataclass(frozen=True, slots=True)
class Marked:
    """Both texts with their marks, and one text that shows both."""

    before: Markup
    after: Markup
    both: Markup
    changed: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    old: str
    new: str
    same: bool


def marked(before: object, after: object) -> Marked:
    """Compares two values as text; None is the empty text."""
    old, new = _text(before), _text(after)
    pieces = list(_joined(_pieces(old, new)))
    return Marked(
        before=Markup("").join(_shown(piece, removed=True) for piece in pieces),
        after=Markup("").join(_shown(piece, added=True) for piece in pieces),
        both=Markup("").join(_shown(piece, removed=True, added=True) for piece in pieces),
        changed=old != new,
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _pieces(old: str, new: str) -> Iterator[_Piece]:
    old_tokens, new_tokens = TOKENS.findall(old), TOKENS.findall(new)
    if len(old_tokens) + len(new_tokens) > MAX_TOKENS:
        yield _Piece(old, new, same=old == new)
        return
    for tag, i, j, k, m in SequenceMatcher(None, old_tokens, new_tokens, autojunk=False).get_opcodes():
        yield _Piece("".join(old_tokens[i:j]), "".join(new_tokens[k:m]), same=tag == "equal")


def _joined(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Merges neighbouring changes that only white space of one line separates: easier to read than word after word."""
    waiting: _Piece | None = None
    gap = ""
    for piece in pieces:
        if piece.same and waiting and piece.old.isspace() and "\n" not in piece.old:
            gap = piece.old
        elif piece.same:
            yield from _released(waiting, gap)
            waiting, gap = None, ""
            yield piece
        else:
            held = waiting or _Piece("", "", same=False)
            waiting = _Piece(held.old + gap + piece.old, held.new + gap + piece.new, same=False)
            gap = ""
    yield from _released(waiting, gap)


def _released(waiting: _Piece | None, gap: str) -> Iterator[_Piece]:
    if waiting:
        yield waiting
    if gap:
        yield _Piece(gap, gap, same=True)


def _shown(piece: _Piece, *, removed: bool = False, added: bool = False) -> Markup:
    if piece.same:
        return escape(piece.old)
    parts = []
    if removed:
        parts.append(_mark(REMOVED, piece.old))
    if added:
        parts.append(_mark(ADDED, piece.new))
    return Markup(" ").join(part for part in parts if part)


def _mark(shape: Markup, text: str) -> Markup:
    """The mark without white space at its ends, which would be underlined or struck through too.

    Where a line break is all there is, a sign before it is marked.
    """
    core = text.strip()
    if not core:
        return escape(text).replace("\n", shape.format(BREAK) + "\n")
    head, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return head + shape.format(core) + tail
