"""The ``shardstream`` command: thin doors over the library's functions."""

from .main import main

__all__ = ["main"]
