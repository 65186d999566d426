"""A throw-away Slurm on this machine: daemons on loopback, one node, GPUs that are only counted.

Everything lies in a temporary folder but for two links in /etc/slurm: Snakemake's job step drops
every SLURM_* variable, SLURM_CONF too, so the configuration must be where Slurm looks for it.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Job = dict[str, str]
"""What Slurm says of a job: `JobState`, `TimeLimit` and so on."""

ETC = Path("/etc/slurm")
LINKED = ("slurm.conf", "gres.conf")
DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = "slurmctld slurmd slurm-client munge"

NODE = "node1"
GPUS = 8
GPU_MODEL = "imagined"

# 16 CPUs and 1 TB are a pretence (config_overrides): jobs may ask for what the profile says, and
# nothing measures what they take. MinJobAge keeps ended jobs in squeue's sight. A requeued job
# starts after cred_expire seconds. Without accounting there is no sacct, as on some real clusters.
SLURM_CONF = """\
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=16817
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
GresTypes=gpu
MpiDefault=none
ReturnToService=2
InactiveLimit=0
KillWait=10
MinJobAge=3600
PriorityType=priority/basic
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port=16821 CPUs=16 RealMemory=1000000 \
Gres=gpu:{model}:{gpus} State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=ALL MaxTime=1-00:00:00 State=UP
"""


class CannotStartError(Exception):
    """Why no cluster can be brought up here, in one line."""


def until(what: str, ready: Callable[[], T | None], seconds: float) -> T:
    """Ask often, until the answer is neither None nor empty nor False.

    Raises:
        TimeoutError: it did not come in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s: still no {what}")
        time.sleep(0.1)
    return answer


def slurm(*command: str | int) -> str:
    """What a command of Slurm's prints.

    Raises:
        RuntimeError: it failed.
    """
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {result.stderr.strip()}")
    return result.stdout


def job(number: int) -> Job:
    """All that `scontrol show job` says of one."""
    words = slurm("scontrol", "--oneliner", "--details", "show", "job", number).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def jobs() -> dict[int, Job]:
    """All jobs of the cluster, ended ones too."""
    numbers = slurm("squeue", "--noheader", "--states=all", "--format=%i").split()
    return {int(number): job(int(number)) for number in sorted(numbers, key=int)}


@contextmanager
def throw_away_cluster() -> Iterator[Path]:
    """Bring it up, and tear it down whatever happens; the folder of its logs.

    Raises:
        CannotStartError: a cluster is configured here already, no root, packages are missing.
        TimeoutError: the node did not come up.
    """
    refuse()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        stack.callback(shutil.rmtree, folder)
        configure(folder)
        ETC.mkdir(exist_ok=True)
        for name in LINKED:
            (ETC / name).symlink_to(folder / name)
            stack.callback((ETC / name).unlink)
        start(stack, folder, "munged", "--foreground", *munge_options(folder))
        start(stack, folder, "slurmctld", "-D")
        start(stack, folder, "slurmd", "-D", "-N", NODE)
        until("idle node", lambda: "idle" in node_state(), 30)
        stack.callback(end_jobs)
        yield folder


def refuse() -> None:
    """Stop where a cluster can't or mustn't be brought up."""
    missing = [name for name in DAEMONS if shutil.which(name, path=search_path()) is None]
    for name in LINKED:
        if os.path.lexists(ETC / name):
            raise CannotStartError(f"{ETC / name} exists: this machine has a Slurm of its own")
    if os.geteuid() != 0:
        raise CannotStartError("a throw-away Slurm needs root, for its daemons and device files")
    if missing:
        raise CannotStartError(f"{', '.join(missing)} not found: apt-get install {PACKAGES}")


def search_path() -> str:
    """Where daemons lie, even if PATH lacks it."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def configure(folder: Path) -> None:
    """Write the configuration, the key, and device files for the GPUs.

    A GPU without a file is refused by Slurm 22.05. These are twins of /dev/null; with them Slurm
    also sets CUDA_VISIBLE_DEVICES for each job.
    """
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for gpu in range(GPUS):
        os.mknod(folder / f"gpu{gpu}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "gres.conf").write_text(
        f"NodeName={NODE} Name=gpu Type={GPU_MODEL} File={folder}/gpu[0-{GPUS - 1}]\n"
    )
    host = socket.gethostname().split(".")[0]
    values = {"host": host, "folder": folder, "node": NODE, "gpus": GPUS, "model": GPU_MODEL}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))


def munge_options(folder: Path) -> list[str]:
    return [
        "--force",
        f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munge.seed",
    ]


def start(stack: ExitStack, folder: Path, name: str, *options: str) -> None:
    """Start a daemon in the foreground; it ends with the stack, or with this process."""
    daemon = shutil.which(name, path=search_path())
    command = ["setpriv", "--pdeathsig", "TERM", str(daemon), *options]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    stack.callback(end, process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_jobs() -> None:
    """Cancel what still runs, and wait until it has gone."""
    slurm("scancel", "--user=root")
    until("empty queue", lambda: not slurm("squeue", "--noheader").strip(), 30)


def node_state() -> str:
    try:
        return slurm("sinfo", "--noheader", "--format=%T")
    except RuntimeError:  # slurmctld has only just started
        return ""
