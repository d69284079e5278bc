"""What launchers tell a process in its environment: which rank of how many it is.

| launcher | rank | size | where that is promised |
|---|---|---|---|
| torchrun (also within srun or a pod), accelerate, DeepSpeed | RANK | WORLD_SIZE | docs.pytorch.org/docs/stable/elastic/run.html |
| Ray Train | RANK | WORLD_SIZE | ray/train/torch/config.py, set in each worker |
| Kubeflow PyTorchJob, one process a pod | RANK | WORLD_SIZE | kubeflow/training-operator |
| Open MPI's mpirun | OMPI_COMM_WORLD_RANK | OMPI_COMM_WORLD_SIZE | docs.open-mpi.org |
| SLURM's srun | SLURM_PROCID | SLURM_STEP_NUM_TASKS | slurm.schedmd.com/srun.html, output variables |
| Kubernetes JobSet (Indexed Job), one process a pod | JOB_COMPLETION_INDEX | WORLD_SIZE of the manifest | kubernetes.io, Jobs |

The innermost launcher is believed: torchrun in an srun step announces its own ranks beside srun's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OptionError

Environment = Mapping[str, str]
# What torchrun and raylets set in every process they start: then RANK was counted by them, whoever started them.
INNER = ("TORCHELASTIC_RUN_ID", "RAY_RAYLET_PID")
HOW = "Start it with torchrun, set both RANK and WORLD_SIZE, or pass world=ss.World(rank, world_size)."


@dataclass(frozen=True, slots=True)
class Announced:
    """A rank and a size, and in which variables they were found."""

    rank: int
    size: int
    rank_name: str
    size_name: str

    def __str__(self) -> str:
        return f"{self.rank_name} {self.rank}, {self.size_name} {self.size}"

    @classmethod
    def of(cls, env: Environment, rank_name: str, size_name: str) -> Announced | None:
        """What these two variables say; None where both are not set; raises OptionError for half or nonsense."""
        rank, size = env.get(rank_name), env.get(size_name)
        if rank is None and size is None:
            return None
        if rank is None or size is None:
            raise OptionError(f"{rank_name} is {rank!r} but {size_name} is {size!r}: one needs the other. {HOW}")
        try:
            found = cls(int(rank), int(size), rank_name, size_name)
        except ValueError:
            found = None
        if found is None or not 0 <= found.rank < found.size:
            raise OptionError(f"{rank_name} {rank!r} and {size_name} {size!r} must be whole numbers, 0 <= rank < size.")
        return found


def announced(env: Environment) -> Announced | None:
    """What the innermost launcher announced; None where none did, so the process is alone.

    Raises OptionError, naming the values, where variables are incomplete, ambiguous or contradict each other.
    """
    outer = _mpi(env) or _slurm(env)
    if "RANK" in env:
        inner = Announced.of(env, "RANK", "WORLD_SIZE")
        return _agreeing(env, inner, outer) if inner and outer else inner
    if "WORLD_SIZE" in env:
        return _counted_elsewhere(env, outer)
    if outer is None and "JOB_COMPLETION_INDEX" in env:
        raise OptionError(
            f"JOB_COMPLETION_INDEX is {env['JOB_COMPLETION_INDEX']!r} but WORLD_SIZE is not set: Kubernetes tells a pod"
            f" its index, not how many pods there are. {HOW}"
        )
    return outer


def _mpi(env: Environment) -> Announced | None:
    return Announced.of(env, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")


def _slurm(env: Environment) -> Announced | None:
    """The srun step of this process. A batch script itself has SLURM_PROCID 0 and no step: it is one process."""
    if "SLURM_STEP_NUM_TASKS" in env:
        return Announced.of(env, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    tasks = env.get("SLURM_NTASKS", "1")
    if "SLURM_PROCID" in env and "RANK" not in env and tasks != "1":
        raise OptionError(
            f"SLURM_NTASKS is {tasks!r} but SLURM_STEP_NUM_TASKS is not set: this batch script asked for {tasks} tasks and"
            " runs this process once, without srun. Start it with srun, or pass world=ss.World(0, 1) if it is alone."
        )
    return None


def _agreeing(env: Environment, inner: Announced, outer: Announced) -> Announced:
    """``inner``, unless RANK was exported once and reached every task of the step: same size, another rank."""
    counted_anew = any(name in env for name in INNER)
    if not counted_anew and inner.size == outer.size and inner.rank != outer.rank:
        raise OptionError(f"{inner}, but {outer}: which is this process? Unset one pair, or pass world=.")
    return inner


def _counted_elsewhere(env: Environment, outer: Announced | None) -> Announced | None:
    """WORLD_SIZE alone, as batch scripts and manifests set it; the rank is what srun, mpirun or the pod counts."""
    if outer is None and "JOB_COMPLETION_INDEX" in env:
        return Announced.of(env, "JOB_COMPLETION_INDEX", "WORLD_SIZE")
    if outer is None:
        return Announced.of(env, "RANK", "WORLD_SIZE")  # raises: half of it is missing
    if str(outer.size) != env["WORLD_SIZE"].strip():
        raise OptionError(f"WORLD_SIZE is {env['WORLD_SIZE']!r}, but {outer}: how many ranks are there? {HOW}")
    return outer
