"""docker/compose.yaml and docker/k8s: valid against their schemas, and safe: no secret, no privilege that is not needed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT

yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
jsonschema = pytest.importorskip("jsonschema", reason="pip install kubernetes-validate")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")

SCHEMAS = Path(__file__).parent / "schemas"
DOCKER = ROOT / "docker"
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
USER = 10001


def schema(name: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def objects() -> list[dict[str, Any]]:
    return [body for file in sorted((DOCKER / "k8s").glob("*.yaml")) for body in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [body for body in objects() if body["kind"] == kind]
    return found


def core(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects of Kubernetes itself: the Jobs in place of a JobSet."""
    if body["kind"] != "JobSet":
        yield body
        return
    for job in body["spec"]["replicatedJobs"]:
        yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]}, **job["template"]}


def pods() -> list[dict[str, Any]]:
    return [job["spec"]["template"]["spec"] for body in objects() for job in core(body) if job["kind"] == "Job"]


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("body", objects(), ids=lambda body: body["kind"])
def test_kubernetes_takes_every_object(body: dict[str, Any], version: str) -> None:
    """By the API's own schemas, strictly: a misspelt field is refused."""
    for found in core(body):
        kubernetes_validate.validate(found, version, strict=True)
    if body["kind"] == "JobSet":
        schema("jobset").validate(body)


def test_a_misspelt_field_is_refused() -> None:
    """The schemas themselves: one level below each of the three."""
    job = copy.deepcopy(next(core(of_kind("JobSet"))))
    job["spec"]["template"]["spec"]["containers"][0]["image_"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, NEWEST, strict=True)
    jobs = of_kind("JobSet") | {"spec": {"replicatedJob": []}}
    assert not schema("jobset").is_valid(jobs)
    assert not schema("compose").is_valid({"services": {"a": {"image": "x", "comand": ["y"]}}})


def test_compose_is_valid_and_names_what_it_uses(compose: Any) -> None:
    """Secrets, volumes and services that are referred to are declared; every declared one is used."""
    schema("compose").validate(compose)
    services = compose["services"]
    assert {name for service in services.values() for name in service.get("secrets", [])} == set(compose["secrets"])
    assert {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])} == set(
        compose["volumes"]
    )
    assert {name for service in services.values() for name in service.get("depends_on", {})} <= set(services)


def test_compose_gives_privileges_to_the_mount_alone(compose: Any) -> None:
    """All capabilities are dropped everywhere; who mounts has the four that it takes, and a device."""
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert all(service["cap_drop"] == ["ALL"] and service["read_only"] for service in ours.values())
    for name, service in ours.items():
        if name == "mounted":
            assert set(service["cap_add"]) == {"SYS_ADMIN", "SETUID", "SETGID", "KILL"}
            assert service["user"] == "0:0"
        else:
            assert not service.keys() & {"user", "cap_add", "devices", "privileged"}
            assert "no-new-privileges:true" in service["security_opt"]


def test_pods_are_restricted() -> None:
    """What the restricted standard of Kubernetes asks for, and a root that cannot be written to."""
    assert len(pods()) == 2
    for pod in pods():
        whole = pod["securityContext"]
        assert (whole["runAsNonRoot"], whole["runAsUser"], whole["seccompProfile"]) == (
            True,
            USER,
            {"type": "RuntimeDefault"},
        )
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


def test_pods_mount_what_they_declare_and_bound_what_grows() -> None:
    """Volumes and mounts agree; the cache has a size, shared memory is memory; the bucket is read-only."""
    for pod in pods():
        declared = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == set(
            declared
        )
    trainer = {volume["name"]: volume for volume in next(pod for pod in pods() if len(pod["volumes"]) > 1)["volumes"]}
    assert trainer["cache"]["emptyDir"]["sizeLimit"]
    assert trainer["shared-memory"]["emptyDir"]["medium"] == "Memory"
    assert trainer["shards"]["persistentVolumeClaim"] == {"claimName": "shards", "readOnly": True}
    assert "read-only" in of_kind("PersistentVolume")["spec"]["mountOptions"]


def test_ranks_find_each_other() -> None:
    """The first pod of the first job, by the name that JobSet gives it; as many nodes as pods."""
    jobs = of_kind("JobSet")
    job = jobs["spec"]["replicatedJobs"][0]
    arguments = job["template"]["spec"]["template"]["spec"]["containers"][0]["args"]
    name = jobs["metadata"]["name"]
    assert f"--master-addr={name}-{job['name']}-0-0.{jobs['spec']['network']['subdomain']}" in arguments
    assert f"--nnodes={job['template']['spec']['completions']}" in arguments
    assert "--node-rank=$(JOB_COMPLETION_INDEX)" in arguments
    assert job["template"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 30


def test_no_secret_is_written_anywhere() -> None:
    """No key, no password, no registry; clients find credentials in files or by a role."""
    secret = re.compile(
        r"(secret|password|token)[a-z_]*\s*[=:]\s*['\"]?[A-Za-z0-9/+]{12}|AKIA[A-Z0-9]{16}", re.IGNORECASE
    )
    variable = re.compile(r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)")
    for file in DOCKER.rglob("*"):
        if file.is_file() and "secrets" not in file.relative_to(DOCKER).parts:
            text = file.read_text()
            assert not secret.search(text), file
            assert not variable.search(text), file


def test_versions_come_from_the_constraints() -> None:
    """Every pip install of the Dockerfile is bound by constraints.txt; no version stands beside it."""
    text = (DOCKER / "Dockerfile").read_text()
    installs = re.findall(r"pip install[^\n&;]*", text)
    assert len(installs) == 4
    assert all("-c constraints.txt" in install for install in installs)
    assert not re.search(r"[A-Za-z]==\d", text)
