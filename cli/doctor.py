"""``doctor``: what is wrong with this machine, in plain words, before a job finds out."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..loaders.cache import default_folder
from ..shard_writer.plan import parse_size
from ..shard_writer.storage import Store, open_store
from . import doctor_bucket, doctor_machine, doctor_mount
from .commands import storage_options
from .doctor_finding import Finding
from .progress import console


def doctor(options: Namespace) -> int:
    """``shardstream doctor``: 1 where something that is needed does not work."""
    findings: list[Finding] = []
    for finding in _findings(options):
        findings.append(finding)
        if not options.json:
            console.print(str(finding), soft_wrap=True)
    wrong = sum(finding.state == "wrong" for finding in findings)
    if options.json:
        console.print(json.dumps([asdict(finding) for finding in findings], indent=1), soft_wrap=True)
    elif wrong:
        console.print(f"{wrong} of {len(findings)} checks found something wrong.")
    return 1 if wrong else 0


def _findings(options: Namespace) -> Iterator[Finding]:
    store = None if options.url is None else open_store(options.url, storage_options(options.storage_option))
    mounts = [doctor_mount.examine(given, store) for given in options.mount]
    yield from mounts
    nbytes, is_cached = None, True
    if store is not None and not _behind_wrong(store, options.mount, mounts):
        found = doctor_bucket.examine(store, options.quick)
        yield from found.findings
        nbytes, is_cached = found.bytes, not store.is_mapped
    if is_cached:
        yield doctor_machine.cache(_folder(options), parse_size(options.cache_bytes), nbytes)
    yield doctor_machine.shared_memory()
    if not options.quick:
        yield doctor_machine.decoder()
    if options.gpu or not options.quick:
        yield doctor_machine.gpu(options.gpu)


def _behind_wrong(store: Store, given: list[str], mounts: list[Finding]) -> bool:
    """Whether the dataset lies on a mount that does not work: asking for it might never end."""
    bad = [mount for mount, finding in zip(given, mounts, strict=True) if finding.state == "wrong"]
    return store.is_local and doctor_mount.is_below(store.url, bad)


def _folder(options: Namespace) -> Path:
    return Path(options.cache_dir) if options.cache_dir else default_folder()
