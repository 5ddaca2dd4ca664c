"""Which of several processes that SLURM's srun or torchrun began with one command is this one?"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launched:
    """A place among the processes of one command.

    Args:
        name: of the command's start, the same in all its processes and in no others.
        node: its machine, from 0.
        local: its place on that machine, from 0.
        world: how many processes there are.
    """

    name: str
    node: int
    local: int
    world: int

    @property
    def first(self) -> bool:
        """Whether this one reads the configuration and gives out the work."""
        return self.node == self.local == 0


def launched(environment: Mapping[str, str]) -> Launched | None:
    """What the environment says of a start as one of several processes; None where there is but one.

    srun tells by SLURM_STEP_NUM_TASKS and others, which a batch script alone does not have; torchrun by
    TORCHELASTIC_RUN_ID.

    Raises:
        ValueError: a variable is missing or no number.
    """
    get = environment.get
    try:
        if int(get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            parts = [environment[key] for key in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
            name = "-".join(["slurm", *parts, get("SLURM_RESTART_COUNT", "0")])
            place = [int(environment[key]) for key in ("SLURM_NODEID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")]
            return Launched(name, *place)
        if "TORCHELASTIC_RUN_ID" in environment and int(environment["WORLD_SIZE"]) > 1:
            several = environment.get("GROUP_WORLD_SIZE", "1") != "1"
            meeting = environment["MASTER_ADDR"] if several else socket.gethostname()
            parts = [environment[key] for key in ("TORCHELASTIC_RUN_ID", "MASTER_PORT")]
            name = "-".join(["torchrun", get("SLURM_JOB_ID", ""), meeting, *parts])
            return Launched(name, *(int(environment[key]) for key in ("GROUP_RANK", "LOCAL_RANK", "WORLD_SIZE")))
    except KeyError as error:
        raise ValueError(f"the environment of one of several processes lacks {error.args[0]}") from None
    return None


def require_one_sweeper(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Checks that not each of several processes begins the same sweep.

    Raises:
        ValueError: each would.
    """
    place = launched(environment)
    if place and {"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*arguments}:
        raise ValueError(
            f"this is one of {place.world} processes that srun or torchrun began, and each would begin the same sweep: "
            "begin it once, with hydra/launcher=slurm for jobs of their own, or begin each run by a command of its own"
        )
