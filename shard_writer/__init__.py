"""Bytes at rest: sources, samples, shards, index, manifest, storage."""
