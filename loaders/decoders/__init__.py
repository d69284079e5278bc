"""Decoders of parts of pictures; ``loaders.decode`` chooses among them."""

from .fast import fast_pixels, part_of
from .turbo import available, decode_whole, decode_window

__all__ = ["available", "decode_whole", "decode_window", "fast_pixels", "part_of"]
