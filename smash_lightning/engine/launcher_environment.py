"""Which of several processes that SLURM's srun or torchrun started with one command is this one? Without torch."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LauncherEnvironment:
    """The position of a process among those of one command.

    Args:
        name: of the command's start, the same in all its processes and in no others.
        node: index of its machine.
        local: index among the processes of that machine.
        world: number of processes.
    """

    name: str
    node: int
    local: int
    world: int

    @property
    def first(self) -> bool:
        """Whether this process reads the configuration and assigns the work."""
        return self.node == self.local == 0


def launcher_environment(environment: Mapping[str, str]) -> LauncherEnvironment | None:
    """The position of this process by environment variables; None where it was started alone.

    srun sets SLURM_STEP_NUM_TASKS and others, which a batch script alone does not have; torchrun sets
    TORCHELASTIC_RUN_ID.

    Raises:
        ValueError: a variable is missing or not a number.
    """
    get = environment.get
    try:
        if int(get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            parts = [environment[key] for key in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
            name = "-".join(["slurm", *parts, get("SLURM_RESTART_COUNT", "0")])
            numbers = [int(environment[key]) for key in ("SLURM_NODEID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")]
            return LauncherEnvironment(name, *numbers)
        if "TORCHELASTIC_RUN_ID" in environment and int(environment["WORLD_SIZE"]) > 1:
            several_nodes = environment.get("GROUP_WORLD_SIZE", "1") != "1"
            host = environment["MASTER_ADDR"] if several_nodes else socket.gethostname()
            parts = [environment[key] for key in ("TORCHELASTIC_RUN_ID", "MASTER_PORT")]
            name = "-".join(["torchrun", get("SLURM_JOB_ID", ""), host, *parts])
            numbers = [int(environment[key]) for key in ("GROUP_RANK", "LOCAL_RANK", "WORLD_SIZE")]
            return LauncherEnvironment(name, *numbers)
    except KeyError as error:
        raise ValueError(f"the environment of one of several processes lacks {error.args[0]}") from None
    return None


def require_one_sweeper(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Checks that several processes do not start the same sweep.

    Raises:
        ValueError: each would start it.
    """
    launcher = launcher_environment(environment)
    if launcher and {"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*arguments}:
        raise ValueError(
            f"this is one of {launcher.world} processes that srun or torchrun started, and each would start the same "
            "sweep: start it once, with hydra/launcher=slurm for a job per run, or start each run by its own command"
        )
