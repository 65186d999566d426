"""Checks of the cluster: Slurm's commands, and whether profiles/slurm fits it (docs/cluster.md)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dac.cli.checks import Result, error_text

PROFILE = Path("profiles/slurm/profile.v9+.yaml")
_NAME = "Slurm"


@dataclass(frozen=True)
class Cluster:
    """Slurm's partitions: name -> types of their GPUs (`gpu` where a type has no name)."""

    partitions: dict[str, frozenset[str]]
    default: str | None


def check_slurm(*, wanted: bool) -> list[Result]:
    """Slurm's line, and with `wanted` one for each part of the profile that has to fit.

    Args:
        wanted: the workflow is to run with `--profile slurm`.
    """
    missing = [name for name in ("sbatch", "sinfo") if shutil.which(name) is None]
    if not wanted:
        there = "there, for --profile slurm" if not missing else "not there, and not needed here"
        return [Result("ok", _NAME, f"{there}; dac doctor --profile slurm looks closer")]
    if missing:
        fix = "log in to the cluster's login node, or: module load slurm"
        return [Result("fail", _NAME, f"no {' and no '.join(missing)} on the PATH", fix)]
    status, output = _output_of(["sinfo", "--noheader", "--format=%P|%G"])
    if status:
        fix = "ask whether Slurm runs: scontrol ping"
        return [Result("fail", _NAME, f"sinfo fails: {output}", fix)]
    cluster = _cluster(output)
    found = Result("ok", _NAME, f"answers; partitions {', '.join(cluster.partitions)}")
    return [found, *_profile(cluster)]


def _output_of(command: list[str]) -> tuple[int, str]:
    """A command's status, and what it says; where it fails its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, error_text(error)
    if done.returncode == 0:
        return 0, done.stdout
    return done.returncode, error_text((done.stderr.strip() or "it says nothing").splitlines()[-1])


def _cluster(output: str) -> Cluster:
    """Read lines of `sinfo --format=%P|%G`, e.g. `gpu*|gpu:a100:4(S:0-1),lscratch:100`."""
    partitions: dict[str, frozenset[str]] = {}
    default = None
    for line in output.split():
        name, _, gres = line.partition("|")
        if name.endswith("*"):
            name = default = name.removesuffix("*")
        devices = [device.split(":") for device in re.sub(r"\(.*?\)", "", gres).split(",")]
        kinds = {words[1] if len(words) > 2 else "gpu" for words in devices if words[0] == "gpu"}
        partitions[name] = partitions.get(name, frozenset()) | kinds
    return Cluster(partitions, default)


def _profile(cluster: Cluster) -> Iterator[Result]:
    import yaml

    if not PROFILE.is_file():
        yield Result("fail", "profile", f"no {PROFILE} here", "go to the project's folder")
        return
    try:
        profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
        common: dict[str, Any] = profile.get("default-resources") or {}
        rules: dict[str, dict[str, Any]] = profile.get("set-resources") or {}
        jobs = [common, *({**common, **(own or {})} for own in rules.values())]
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        yield Result("fail", "profile", f"{PROFILE}: {error_text(error)}", f"mend {PROFILE}")
        return
    faults = dict.fromkeys(fault for job in jobs if (fault := _fault(cluster, job)))
    for what, fix in faults:
        yield Result("fail", "profile", what, f"{fix} in {PROFILE}")
    if not faults:
        account = _unquoted(common.get("slurm_account"))
        pays = f"account {account}" if account else "Slurm's default account pays"
        yield Result("ok", "profile", f"{PROFILE} fits these partitions; {pays}")
    yield _accounting(profile)


def _fault(cluster: Cluster, job: dict[str, Any]) -> tuple[str, str] | None:
    """Why Slurm would never start a job, and what to do."""
    names = ", ".join(cluster.partitions)
    partition = _unquoted(job.get("slurm_partition")) or cluster.default
    if partition is None:
        what = f"no slurm_partition for jobs {'with' if job.get('gpu') else 'without'} a GPU"
        return f"{what}, and Slurm has no default", f"write slurm_partition: one of {names}"
    if not re.fullmatch(r"[\w.,-]+", partition):
        return None  # an expression, which Snakemake evaluates
    allowed = partition.split(",")
    for name in allowed:
        if name not in cluster.partitions:
            return f"there is no partition {name}", f"write slurm_partition: one of {names}"
    kinds = frozenset[str]().union(*(cluster.partitions[name] for name in allowed))
    return _gpu_fault(cluster, partition, kinds, job) if job.get("gpu") else None


def _gpu_fault(
    cluster: Cluster, partition: str, kinds: frozenset[str], job: dict[str, Any]
) -> tuple[str, str] | None:
    if not kinds:
        with_gpus = [name for name, held in cluster.partitions.items() if held]
        fix = f"write slurm_partition: {' or '.join(with_gpus)} beside gpu: 1"
        return (
            f"partition {partition} has no GPU, and trainings ask for one",
            fix if with_gpus else "take gpu: 1 out, since no partition has any,",
        )
    model = _unquoted(job.get("gpu_model"))
    if model and model not in kinds:
        models = sorted(kinds - {"gpu"})
        fix = f"write gpu_model: {' or '.join(models)}" if models else "take gpu_model out"
        return f"partition {partition} has no GPU of type {model}", fix
    return None


def _unquoted(value: object) -> str | None:
    """A name as Slurm sees it: profiles quote some of them twice."""
    return None if value is None else str(value).strip("'\"")


def _accounting(profile: dict[str, Any]) -> Result:
    command = profile.get("slurm-status-command")
    if command == "squeue":
        return Result("ok", "accounting", "jobs are asked after with squeue")
    status, output = _output_of(["sacct", "--noheader", "--allocations", "--format=JobID"])
    if status == 0:
        return Result("ok", "accounting", "sacct answers")
    fix = f"write slurm-status-command: squeue in {PROFILE}"
    return Result("fail", "accounting", f"sacct fails: {output}", fix)
