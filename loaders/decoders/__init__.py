"""Decoders of parts of pictures; ``loaders.decode`` chooses among them."""

from .turbo import available, decode_window

__all__ = ["available", "decode_window"]
