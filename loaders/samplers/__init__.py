"""Samplers: how often each item comes in an epoch, from index columns alone."""

from .base import Rule, Sampler
from .natural import Natural

__all__ = ["Natural", "Rule", "Sampler"]
