"""Which rank a process is, from the real variables of each launcher; contradictions are named, nothing is initialised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shardstream as ss

# From the launchers' sources and manuals (torchrun's is run by a test, too): SLURM's from srun's (2 nodes, 8 tasks),
# Kubernetes' from an Indexed Job of its documentation. What says nothing about ranks is left out.
TORCHRUN = {  # torch 2.15, 2 nodes of 4
    "LOCAL_RANK": "1", "RANK": "5", "GROUP_RANK": "1", "ROLE_RANK": "5", "ROLE_NAME": "default", "LOCAL_WORLD_SIZE": "4",
    "WORLD_SIZE": "8", "GROUP_WORLD_SIZE": "2", "ROLE_WORLD_SIZE": "8", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RUN_ID": "none",
}  # fmt: skip
RAY = {  # ray 2.60, torch backend
    "LOCAL_RANK": "1", "RANK": "5", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "NODE_RANK": "1",
    "ACCELERATE_TORCH_DEVICE": "cpu", "RAY_RAYLET_PID": "31751",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "81", "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_NTASKS": "8", "SLURM_NPROCS": "8", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NUM_NODES": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}  # fmt: skip
SBATCH = {"SLURM_JOB_ID": "81", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "8"}
SALLOC = {"SLURM_JOB_ID": "81", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}
PYTORCHJOB = {  # Kubeflow training operator, one process a pod
    "MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456", "WORLD_SIZE": "8", "RANK": "5", "PET_NNODES": "8",
    "PET_NODE_RANK": "5", "PET_NPROC_PER_NODE": "1", "PYTHONUNBUFFERED": "1",
}  # fmt: skip
JOBSET = {"JOB_COMPLETION_INDEX": "5", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
MPIRUN = {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
ONE_PER_NODE = {**SRUN, "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}

KNOWN = {
    "torchrun": TORCHRUN,
    "torchrun in srun, one task a node": TORCHRUN | ONE_PER_NODE,
    "torchrun in srun, one rank a node, counted otherwise": TORCHRUN | SRUN | {"SLURM_PROCID": "2"},
    "torchrun in a JobSet": TORCHRUN | JOBSET | {"JOB_COMPLETION_INDEX": "1"},
    "torchrun in an sbatch script": TORCHRUN | SBATCH,
    "Ray Train": RAY,
    "Ray Train on a SLURM cluster": RAY | SRUN | {"SLURM_PROCID": "0"},
    "srun": SRUN,
    "srun, WORLD_SIZE exported by the script": SRUN | {"WORLD_SIZE": "8"},
    "srun, both exported from SLURM's": SRUN | {"WORLD_SIZE": "8", "RANK": "5"},
    "PyTorchJob": PYTORCHJOB,
    "JobSet whose manifest sets WORLD_SIZE": JOBSET | {"WORLD_SIZE": "8"},
    "mpirun": MPIRUN,
    "mpirun in srun": MPIRUN | ONE_PER_NODE,
}

REFUSED = {
    "half": ({"RANK": "2"}, "RANK is '2' but WORLD_SIZE is None"),
    "the other half": ({"WORLD_SIZE": "2"}, "RANK is None but WORLD_SIZE is '2'"),
    "no number": ({"RANK": "two", "WORLD_SIZE": "4"}, "RANK 'two' and WORLD_SIZE '4' must be whole numbers"),
    "beyond": ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK '4' and WORLD_SIZE '4' must"),
    "below": ({"RANK": "-1", "WORLD_SIZE": "4"}, "RANK '-1' and WORLD_SIZE '4' must"),
    "empty": ({"RANK": "", "WORLD_SIZE": ""}, "RANK '' and WORLD_SIZE '' must"),
    "RANK exported once for all tasks": (
        SRUN | {"RANK": "0", "WORLD_SIZE": "8"}, "RANK 0, WORLD_SIZE 8, but SLURM_PROCID 5, SLURM_STEP_NUM_TASKS 8",
    ),
    "WORLD_SIZE of another job": (SRUN | {"WORLD_SIZE": "4"}, "WORLD_SIZE is '4', but SLURM_PROCID 5, SLURM_STEP_NUM_TASKS 8"),
    "a batch script without srun": (SBATCH, "SLURM_NTASKS is '8' but SLURM_STEP_NUM_TASKS is not set"),
    "a pod that knows its index only": (JOBSET, "JOB_COMPLETION_INDEX is '5' but WORLD_SIZE is not set"),
    "a pod beyond WORLD_SIZE": (JOBSET | {"WORLD_SIZE": "5"}, "JOB_COMPLETION_INDEX '5' and WORLD_SIZE '5' must"),
    "half of mpirun's": ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is None"),
}  # fmt: skip


@pytest.mark.parametrize("launcher", KNOWN)
def test_the_rank_of_each_launcher_is_found(launcher: str) -> None:
    """Fifth of eight, whatever counted."""
    assert ss.World.from_environment(KNOWN[launcher]) == ss.World(5, 8)


@pytest.mark.parametrize("environment", [{}, {"HOME": "/root"}, SALLOC, SBATCH | {"SLURM_NTASKS": "1"}])
def test_without_a_launcher_a_process_is_alone(environment: dict[str, str]) -> None:
    """Also in the shell of an allocation, and in a batch script of one task."""
    assert ss.World.from_environment(environment) == ss.World(0, 1)


@pytest.mark.parametrize("case", REFUSED)
def test_incomplete_and_contradicting_variables_are_named(case: str) -> None:
    """With both values, and what to do."""
    environment, message = REFUSED[case]
    with pytest.raises(ss.OptionError, match=message) as raised:
        ss.World.from_environment(environment)
    assert "world=" in str(raised.value) or "must be whole numbers" in str(raised.value)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
def test_ranks_that_share_samples_share_a_world(shares: int, ranks_per_sample: int, seed: int) -> None:
    """Neighbours have one World; over all processes each World comes ranks_per_sample times."""
    size = shares * ranks_per_sample
    worlds = [
        ss.World.from_environment({"RANK": str(rank), "WORLD_SIZE": str(size)}, ranks_per_sample=ranks_per_sample)
        for rank in range(size)
    ]
    assert worlds == [ss.World(rank // ranks_per_sample, shares) for rank in range(size)]
    assert worlds == [ss.World.of(rank, size, ranks_per_sample=ranks_per_sample) for rank in range(size)]


@pytest.mark.parametrize(("size", "shared"), [(8, 3), (8, 16), (8, 0), (8, -1)])
def test_ranks_per_sample_must_divide_the_world(size: int, shared: int) -> None:
    """Or some would be alone with their samples."""
    with pytest.raises(ss.OptionError, match=f"ranks_per_sample {shared} does not divide a world of {size}"):
        ss.World.of(0, size, ranks_per_sample=shared)


SHOW = """
import json, os, sys, torch, shardstream as ss
world = ss.World.from_environment(ranks_per_sample=int(sys.argv[1]))
shown = json.dumps([os.environ["RANK"], world.rank, world.world_size, world.source, torch.distributed.is_initialized()])
sys.stdout.write(shown + chr(10))  # one write: unbuffered, print takes two, and the ranks share a pipe
"""


def test_under_a_real_torchrun_nothing_is_initialised(tmp_path: Path) -> None:
    """Four processes, two to a sample."""
    (tmp_path / "show.py").write_text(SHOW)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4", str(tmp_path / "show.py"), "2"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=_plain())
    shown = sorted(json.loads(line) for line in ran.stdout.splitlines())
    assert shown == [[str(r), r // 2, 2, f"RANK {r}, WORLD_SIZE 4", False] for r in range(4)]


GROUP = """
import sys, torch, shardstream as ss
from shardstream.loaders import World
rank, late = int(sys.argv[1]), World.from_environment()
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
print(World.from_environment() == World(rank, 2), World.from_environment().source)
for world in (late, World(0, 1)):
    try:
        world.confirm()
        print("confirmed", world.source)
    except ss.OptionError as error:
        print(error)
import os
for found in ({"RANK": "1", "WORLD_SIZE": "4"}, {"WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "NODE_RANK": "0"}):
    os.environ.update(found)
    try:
        print(World.from_environment() == World(rank, 2))
    except ss.OptionError as error:
        print(error)
    [os.environ.pop(name) for name in found]
torch.distributed.destroy_process_group()
"""


def test_a_group_of_the_caller_is_asked_where_variables_do_not_tell(tmp_path: Path) -> None:
    """As mp.spawn and Lightning's own launcher have it; a loader made too early, or other variables, are named."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", GROUP, str(rank), str(tmp_path / "group")],
            stdout=subprocess.PIPE, text=True, env=_plain(),
        )
        for rank in range(2)
    ]  # fmt: skip
    for rank, process in enumerate(ranks):
        same, late, given, differing, lightning = process.communicate(timeout=100)[0].splitlines()
        assert same == "True torch.distributed"
        assert late.startswith("the loader was made for rank 0 of 1 (alone), and since then")
        assert f"rank {rank} of 2" in late
        assert given == "confirmed given"
        assert differing.startswith(f"RANK 1, WORLD_SIZE 4, but torch.distributed was initialised as rank {rank} of 2")
        assert lightning == "True"


def _plain() -> dict[str, Any]:
    """This environment without what a launcher of the tests themselves would have set."""
    names = [*TORCHRUN, *SRUN, *JOBSET, *MPIRUN]
    return {name: value for name, value in os.environ.items() if name not in names} | {"OMP_NUM_THREADS": "1"}
