"""Text in the font that Pillow brings along (Aileron), so that a figure looks the same on every machine."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont, features

from ...errors import MissingExtra

Font = ImageFont.FreeTypeFont
ELLIPSIS = "..."
_NO_GLYPH = "\U0010ffff"


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """The font at a size in pixels; raises MissingExtra where Pillow was built without FreeType."""
    if not features.check("freetype2"):
        raise MissingExtra(
            "drawing text needs FreeType, which this Pillow was built without: pip install --force-reinstall pillow."
        )
    loaded = ImageFont.load_default(size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise MissingExtra(f"drawing text needs a scalable font, Pillow gave {type(loaded).__name__}: update Pillow.")
    return loaded


def clean(text: str) -> str:
    """One line that can be measured and drawn: white space joined, control characters and lone surrogates marked."""
    joined = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if _undrawable(character) else character for character in joined)


def _undrawable(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def without_glyph(text: str) -> set[str]:
    """Characters of a text that the font shows as an empty box (scripts other than Latin)."""
    return {character for character in set(text) if not character.isspace() and not _has_glyph(character)}


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    face = font(24)
    return bytes(face.getmask(character)) != bytes(face.getmask(_NO_GLYPH))


def shorten(text: str, face: Font, width: float) -> str:
    """The text, or as much of it as fits into a width in pixels, with dots; empty where nothing fits."""
    if face.getlength(text) <= width:
        return text
    keep = len(text)
    while keep and face.getlength(text[:keep].rstrip() + ELLIPSIS) > width:
        keep -= 1
    return text[:keep].rstrip() + ELLIPSIS if keep else ""


def wrap(text: str, face: Font, width: float) -> list[str]:
    """Lines no wider than ``width`` pixels, broken at spaces, and within words that are longer than a line.

    A single character wider than the width stands on a line of its own.
    """
    lines = [""]
    for word in clean(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if face.getlength(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _pieces(word, face, width)
        lines = [*lines, *pieces] if lines[-1] else pieces
    return lines


def _pieces(word: str, face: Font, width: float) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and face.getlength(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces
