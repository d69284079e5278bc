"""Benchmarks in their original files."""
