"""``doctor``, the dataset: credentials, the bucket's answer, the manifest, a first block of data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import DatasetNotFound, ManifestError, MissingExtra, StorageError
from ..loaders.blocks import BLOCK
from ..shard_writer import manifest as manifests
from ..shard_writer.manifest import Manifest
from ..shard_writer.storage import Store
from .doctor_finding import Finding, size

PATIENCE = 5.0
"""Seconds until a connection that is not made counts as none."""
# Error code of S3 -> what it means, what to do. {bucket}, {url}, {place} are filled in.
ANSWERS = {
    "NoSuchBucket": ("there is no bucket {bucket} at {place}.", "Check its name and the endpoint (AWS_ENDPOINT_URL)."),
    "NoSuchKey": ("the bucket {bucket} answers, but there is no {url}.", "Check the address, or pack a dataset there."),
    "AccessDenied": ("the credentials may not read {url}.", "Give them s3:GetObject and s3:ListBucket on it."),
    "InvalidAccessKeyId": (
        "{place} does not know this access key.",
        "Check which credentials are set, and the endpoint.",
    ),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key.", "Set both again."),
    "ExpiredToken": ("the session token has expired.", "Sign in again, or use a role that refreshes itself."),
    "RequestTimeTooSkewed": ("this machine's clock is wrong.", "Set it; signatures hold for 15 minutes."),
    "PermanentRedirect": ("the bucket {bucket} is in another region.", "Set AWS_REGION to its region."),
    "AuthorizationHeaderMalformed": ("the bucket {bucket} is in another region.", "Set AWS_REGION to its region."),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was found at an address: its lines, and its manifest where there is one."""

    findings: tuple[Finding, ...]
    manifest: Manifest | None = None

    @property
    def bytes(self) -> int | None:
        """Size of all shards."""
        if self.manifest is None:
            return None
        return sum(shard.bytes for split in self.manifest.splits.values() for shard in split.shards)


def examine(store: Store, quick: bool) -> Dataset:
    """Look at a dataset from outside in; what lies behind the first thing that is wrong is not asked for."""
    before = _bucket(store) if store.scheme == "s3" else []
    if any(finding.state == "wrong" for finding in before):
        return Dataset(tuple(before))
    try:
        manifest = manifests.load(store)
        found = Finding("dataset", "ok", _described(store, manifest))
    except (DatasetNotFound, ManifestError, StorageError, MissingExtra) as error:
        return Dataset((*before, Finding("dataset", "wrong", str(error))))
    data = [] if quick else [_first_block(store, manifest)]
    return Dataset((*before, found, *data), manifest)


def _described(store: Store, manifest: Manifest) -> str:
    splits = ", ".join(f"{split.name} ({split.samples:,} samples)" for split in manifest.splits.values())
    return f"{store.url} holds {manifest.name}: {splits}."


def _first_block(store: Store, manifest: Manifest) -> Finding:
    """Whether the first shard has the size that the manifest says, and how fast a block of it comes."""
    split = next((split for split in manifest.splits.values() if split.shards), None)
    if split is None:
        return Finding("data", "note", "the dataset has no shards.")
    shards, path, entry = split.shard_store(store), split.shard_path(0), split.shards[0]
    began = time.perf_counter()
    try:
        found = shards.size(path)
        data = shards.read(path, 0, min(BLOCK, entry.bytes))
    except (FileNotFoundError, StorageError) as error:
        return Finding("data", "wrong", f"{shards.full(path)}: {error}", "Restore the shard, or pack again.")
    seconds = time.perf_counter() - began
    if found != entry.bytes:
        text = f"{shards.full(path)} has {found:,} bytes, the manifest says {entry.bytes:,}."
        return Finding("data", "wrong", text, "Restore the shard, or pack again; shardstream verify lists all damage.")
    return Finding("data", "ok", f"{size(len(data))} of {shards.full(path)} in {seconds:.2f} s.")


def _bucket(store: Store) -> list[Finding]:
    """Credentials, and what S3 answers to a request for the manifest's first byte."""
    try:
        from botocore.session import Session
    except ImportError:
        return [Finding("credentials", "wrong", "s3:// needs an optional package.", "pip install 'shardstream[s3]'")]
    options, session = store.options, Session(profile=store.options.get("profile"))
    if options.get("anon"):
        credentials = Finding("credentials", "ok", "none are used: anon=true.")
    else:
        credentials = _credentials(session, options)
    return [credentials] if credentials.state == "wrong" else [credentials, _answer(session, store)]


def _credentials(session: Any, options: Mapping[str, Any]) -> Finding:
    from botocore.exceptions import BotoCoreError

    if options.get("key") and options.get("secret"):
        return Finding("credentials", "ok", "given as storage options.")
    try:
        found = session.get_credentials()
    except BotoCoreError as error:  # a profile that is not there, a role that cannot be taken
        return Finding("credentials", "wrong", f"{error}.", "Correct AWS_PROFILE, or the file that names the role.")
    if found is None:
        advice = (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE, or run under a role;"
            " public buckets: --storage-option anon=true."
        )
        return Finding("credentials", "wrong", "none in the environment, in files, or from a role.", advice)
    return Finding("credentials", "ok", f"found ({found.method}).")


def _answer(session: Any, store: Store) -> Finding:
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    bucket, _, key = store.full(manifests.NAME).removeprefix("s3://").partition("/")
    client = _client(session, store.options)
    place = client.meta.endpoint_url
    try:
        client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].read()
    except ClientError as error:
        return _refused(cast("Mapping[str, Any]", error.response), bucket, f"s3://{bucket}/{key}", place)
    except EndpointConnectionError:
        return Finding(
            "bucket", "wrong", f"{place} cannot be reached.", "Check the endpoint, the network and its proxy."
        )
    except BotoCoreError as error:  # a name that is no bucket's, a time-out, a certificate
        return Finding("bucket", "wrong", f"{place}: {error}.", "Check the address and the endpoint.")
    finally:
        client.close()
    return Finding("bucket", "ok", f"{bucket} answers at {place}.")


def _client(session: Any, options: Mapping[str, Any]) -> Any:
    """A client as s3fs would make it from the same options, which gives up soon."""
    from botocore import UNSIGNED
    from botocore.config import Config

    once = Config(connect_timeout=PATIENCE, read_timeout=2 * PATIENCE, retries={"total_max_attempts": 2})
    if options.get("anon"):
        once = once.merge(Config(signature_version=UNSIGNED))
    given = {
        "endpoint_url": options.get("endpoint_url"),
        "aws_access_key_id": options.get("key"),
        "aws_secret_access_key": options.get("secret"),
        "aws_session_token": options.get("token"),
        "region_name": session.get_config_variable("region") or "us-east-1",
        **options.get("client_kwargs", {}),
    }
    return session.create_client("s3", config=once, **given)


def _refused(response: Mapping[str, Any], bucket: str, url: str, place: str) -> Finding:
    """An answer of S3 that is no data, in plain words."""
    error, status = response.get("Error", {}), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(error.get("Code", status))
    if code not in ANSWERS:
        return Finding("bucket", "wrong", f"{place} answers {code} to {url}.", "Look the code up in its documentation.")
    text, advice = (part.format(bucket=bucket, url=url, place=place) for part in ANSWERS[code])
    return Finding("bucket", "wrong", text, advice)
