"""One run of the workflow on the throw-away Slurm, to which everything happens at once.

The node is drained while the experts wait, and the configuration is edited. When the node is back
and the experts train, one is cancelled, one is killed, one hangs until its time is over, and the
baseline is put back into the queue. Then Snakemake itself is killed while the third expert's second
attempt runs, and started again as docs/cluster.md says.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cluster
import page
from cluster import Job, until
from project import ROOT, Project

K = 3
STEPS = 1500
RATE = 0.01
EXPERTS = f"ball/kplanes/seed0/azimuth-{K}"
BASELINE = f"ball/kplanes/seed0/baseline-{STEPS}"
TRAININGS = {*(f"expert {group}" for group in range(K)), "baseline"}

# Ask after jobs sooner than a real cluster would like: nothing else of the profile is overridden
# on the command line.
OVERRIDES = "--slurm-init-seconds-before-status-checks 2"

# What a user takes the # away from in the profile, and the values written there.
EDITS = {
    "# slurm_partition: cpu": "slurm_partition: cpu",
    "# slurm_partition: gpu": "slurm_partition: gpu",
    "# gpu_model: a100": f"gpu_model: {cluster.GPU_MODEL}",
    "# slurm-status-command: squeue": "slurm-status-command: squeue",
    "&beside_a_gpu 4": "&beside_a_gpu 1",
}


@dataclass
class Story:
    """What was seen.

    Attributes:
        project: the copy in which all ran.
        jobs: Slurm job number -> all that Slurm said of it in the end.
        first, second: what Snakemake said, until it was killed and after it was started again.
        again: what a third run said.
        orphans: what `squeue` said of the jobs that ran on when Snakemake was killed.
        devices: expert -> CUDA_VISIBLE_DEVICES of its first attempt.
        hit: `expert 0` or so -> the number of the job that something happened to.
        step: the same -> the newest saved step just before.
        waiting: the jobs that were in the queue while the node was drained.
        kept: the model.json of each training that was done before Snakemake was killed.
        ran: the page's commands that were run.
        say: called with a line whenever a part of the story is over, and how long it took.
    """

    project: Project
    say: Callable[[str], None]
    jobs: dict[int, Job] = field(default_factory=dict)
    first: str = ""
    second: str = ""
    again: str = ""
    orphans: str = ""
    devices: dict[int, str] = field(default_factory=dict)
    hit: dict[str, int] = field(default_factory=dict)
    step: dict[str, int] = field(default_factory=dict)
    waiting: dict[int, Job] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    clock: float = field(default_factory=time.monotonic)

    def done(self, what: str) -> None:
        """Tell how long something took."""
        now = time.monotonic()
        self.say(f"{now - self.clock:5.0f} s {what}")
        self.clock = now

    @property
    def results(self) -> Path:
        return self.project.folder / "results"

    def jobs_of(self, rule: str) -> list[Job]:
        """The jobs of a rule, with wildcards if given, e.g. `expert .* 2`; in order."""
        pattern = re.compile(f"rule_{rule}(_wildcards_.*)?")
        return [job for job in self.jobs.values() if pattern.fullmatch(job["Comment"])]

    def said_by(self, job: Job) -> str:
        """What a job printed: also what dac says in words."""
        return Path(job["StdOut"]).read_text()


def tell(project: Project, say: Callable[[str], None]) -> Story:
    """Let it all happen."""
    story = Story(project, say)
    prepare(project)
    install, activate, plan, run = page.commands()["First run"]
    look, unlock, rerun = page.commands()["If Snakemake itself was killed"]
    story.ran = [install, activate, plan, run, look, unlock, rerun]
    output_of(ROOT, install)
    (project.folder / ".venv").symlink_to(sys.prefix)
    output_of(project.folder, f"{activate} && {plan}")
    with snakemake(project, f"{activate} && exec {run}", "first.log") as driver:
        wait_on_a_drained_node(story, driver)
        lose_jobs(story, driver)
        kill_snakemake(story, driver)
    story.orphans = output_of(project.folder, look)
    output_of(project.folder, f"{activate} && {unlock}")
    with snakemake(project, f"{activate} && exec {rerun}", "second.log") as driver:
        let_the_orphan_end(story, driver)
        until("end of the second run", lambda: driver.poll() is not None, 240)
    story.done("the rest, after Snakemake was started again")
    story.again = output_of(project.folder, f"{activate} && {rerun}")
    story.done("a run with nothing to do")
    story.first = (project.folder / "first.log").read_text()
    story.second = (project.folder / "second.log").read_text()
    story.jobs = cluster.jobs()
    return story


def prepare(project: Project) -> None:
    """Edit the profile as a user would; let trainings last some seconds."""
    profile = project.folder / "profiles" / "slurm" / "profile.v9+.yaml"
    text = profile.read_text()
    for old, new in EDITS.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    profile.write_text(text)
    configure(project, RATE)


def configure(project: Project, rate: float) -> None:
    scene = {"name": "ball", "path": "data/ball", "format": "colmap", "division": "azimuth", "K": K}
    train = {"steps": STEPS, "learning_rate": rate, "checkpoint_seconds": 1}
    project.configure(train=train, scenes=[scene])


# --- Acts -----------------------------------------------------------------------------------------


def wait_on_a_drained_node(story: Story, driver: subprocess.Popen[str]) -> None:
    """Let the trainings wait for a node, edit the settings meanwhile, and bring the node back."""
    until("started job", lambda: alive(driver) and started(), 90)
    cluster.slurm("scontrol", "update", f"nodename={cluster.NODE}", "state=drain", "reason=test")

    def waiting() -> dict[int, Job]:
        alive(driver)
        found = {n: job for n, job in cluster.jobs().items() if job["JobState"] == "PENDING"}
        drained = any("DRAINED" in job["Reason"] for job in found.values())
        return found if drained and {name_of(job) for job in found.values()} >= TRAININGS else {}

    story.waiting = until("queue of all experts and the baseline", waiting, 180)
    story.done("until all trainings wait")
    configure(story.project, 10 * RATE)
    cluster.slurm("scontrol", "update", f"nodename={cluster.NODE}", "state=resume")


def lose_jobs(story: Story, driver: subprocess.Popen[str]) -> None:
    """Cancel, kill, hang and requeue a training each, as soon as it has saved a step."""
    blows = {
        "expert 0": lambda number, pid: cluster.slurm("scancel", number),
        "expert 1": lambda number, pid: os.kill(pid, signal.SIGKILL),
        "expert 2": hang_until_the_time_limit,
        "baseline": lambda number, pid: cluster.slurm("scontrol", "requeue", number),
    }
    numbers = {name_of(job): number for number, job in story.waiting.items()}
    while left := [name for name in blows if name not in story.hit]:
        alive(driver)
        name, step = until("saved step", lambda left=left: saved_step_of_any(story, left), 180)
        number = numbers[name]
        pid = training_of(number)
        if name != "baseline":
            environment = environment_of(pid)
            story.devices[int(name[-1])] = environment["CUDA_VISIBLE_DEVICES"]
        blows[name](number, pid)
        story.hit[name], story.step[name] = number, step
    # All have read the edited configuration by now; what is planned from here on is as at first.
    configure(story.project, RATE)
    story.done("until each training has been hit")


def kill_snakemake(story: Story, driver: subprocess.Popen[str]) -> None:
    """SIGKILL Snakemake while the second attempt of expert 2 is at work, and stands still."""
    lock = story.results / "logs" / EXPERTS / "expert2.lock"

    def second_attempt() -> int | None:
        alive(driver)
        holder = re.search(r"Slurm job (\d+)$", lock.read_text())
        return int(holder[1]) if holder and int(holder[1]) > story.hit["expert 2"] else None

    number = until("second attempt of expert 2", second_attempt, 180)
    os.kill(training_of(number), signal.SIGSTOP)
    story.hit["orphan"] = number
    until("end of the other experts", lambda: alive(driver) and booked(story, 2), 180)
    story.done("until the experts have been retried")
    driver.kill()
    driver.wait()
    story.kept = {path: (story.results / path).read_bytes() for path in records(story)}


def let_the_orphan_end(story: Story, driver: subprocess.Popen[str]) -> None:
    """Wait until another job of the same expert waits for the orphan; then let that go on."""

    def newcomer() -> int | None:
        alive(driver)
        for number, job in cluster.jobs().items():
            if name_of(job) == "expert 2" and number > story.hit["orphan"]:
                said = Path(job["StdOut"])
                if said.exists() and "waiting for another process" in said.read_text():
                    return number
        return None

    story.hit["newcomer"] = until("job that waits for the orphan", newcomer, 180)
    story.done("until a second job of the orphan's expert waits")
    os.kill(training_of(story.hit["orphan"]), signal.SIGCONT)


def hang_until_the_time_limit(number: int, pid: int) -> None:
    """Limits are minutes, looked at twice a minute: bring the end near; take no CPU till then."""
    os.kill(pid, signal.SIGSTOP)
    cluster.slurm("scontrol", "update", f"jobid={number}", "EndTime=now+1")


# --- What stands how ------------------------------------------------------------------------------


def started() -> bool:
    """Whether any job has begun."""
    return any(job["JobState"] != "PENDING" for job in cluster.jobs().values())


def name_of(job: Job) -> str | None:
    """`expert 0`, `baseline`; None for other jobs."""
    if found := re.fullmatch(rf"rule_expert_wildcards_.*_{K}_(\d)", job["Comment"]):
        return f"expert {found[1]}"
    return "baseline" if job["Comment"].endswith(f"_{STEPS}") else None


def saved_step_of_any(story: Story, names: list[str]) -> tuple[str, int] | None:
    """The first of these trainings that has saved a state after its first step, and which."""
    for name in names:
        run = BASELINE if name == "baseline" else f"{EXPERTS}/{name.replace(' ', '')}"
        folder = story.results / "state" / run
        steps = [int(state.name.removeprefix("step-")) for state in folder.glob("step-*")]
        if steps and max(steps) > 0:
            return name, max(steps)
    return None


def records(story: Story) -> list[str]:
    """The models' records there are."""
    found = story.results.glob("ball/kplanes/**/model.json")
    return sorted(str(path.relative_to(story.results)) for path in found)


def booked(story: Story, count: int) -> bool:
    """Whether Snakemake knows that so many experts are done."""
    log = (story.project.folder / "first.log").read_text()
    experts = set(re.findall(r"^Job (\d+): Training expert", log, re.MULTILINE))
    finished = set(re.findall(r"^Finished jobid: (\d+) \(Rule: expert\)", log, re.MULTILINE))
    return len(experts & finished) >= count


def training_of(number: int) -> int:
    """The process that trains in a running job."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if not any(re.search(rb"/scripts/.*\.py$", word) for word in command[:2]):
                continue
            if environment_of(int(folder.name)).get("SLURM_JOB_ID") == str(number):
                return int(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"job {number} has no training process any more")


def environment_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


# --- Commands -------------------------------------------------------------------------------------


@contextmanager
def snakemake(project: Project, command: str, log: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of the page until the block ends, at the latest."""
    with (project.folder / log).open("w") as file:
        driver = subprocess.Popen(
            ["bash", "-c", f"{command} {OVERRIDES}"],
            cwd=project.folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield driver
    except Exception as error:
        said = (project.folder / log).read_text().splitlines()
        error.add_note("\n".join(["what Snakemake said last:", *said[-40:]]))
        raise
    finally:
        driver.kill()
        driver.wait()


def alive(driver: subprocess.Popen[str]) -> bool:
    if driver.poll() is not None:
        raise AssertionError(f"Snakemake ended with status {driver.returncode}")
    return True


def output_of(folder: Path, command: str) -> str:
    """What a command of the page says; it must succeed."""
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
