"""The workflow through the Slurm profile, on a real Slurm: see story.py for what happens to it."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import page
import pytest
from story import BASELINE, EXPERTS, RATE, STEPS, TRAININGS, K, Story, name_of

pytestmark = pytest.mark.slurm

ON_GPUS = ["expert", "baseline", "distill", "finetune", "evaluate", "evaluate_experts"]


def first_step(said: str) -> int:
    """Where a job says that it went on from; 0 if it began anew."""
    found = re.findall(r"going on from step (\d+)", said)
    return int(found[-1]) if found else 0


def test_the_workflow_finishes_and_a_second_run_does_nothing(told: Story) -> None:
    tables = told.results / "tables" / "main.md"
    assert "DaC-KPlanes" in tables.read_text()
    assert "Nothing to be done" in told.again


def test_all_experts_run_at_once_each_on_a_gpu_of_its_own(told: Story) -> None:
    first = [told.jobs_of(f"expert_wildcards_.*_{group}")[0] for group in range(K)]
    assert max(job["StartTime"] for job in first) < min(job["EndTime"] for job in first)
    assert sorted(told.devices) == list(range(K))
    assert len(set(told.devices.values())) == K
    assert all(re.fullmatch(r"\d", device) for device in told.devices.values())


def test_only_trainings_and_evaluations_ask_for_gpus(told: Story) -> None:
    asked: dict[str, set[str]] = {}
    for job in told.jobs.values():
        found = re.fullmatch(r"rule_(\w+?)_wildcards_.*", job["Comment"])
        assert found is not None
        places = (job.get("TresPerJob", "no GPU"), job["Partition"])
        asked.setdefault(found[1], set()).update(places)
    assert asked == {
        "import_scene": {"no GPU", "cpu"},
        **{rule: {"gres:gpu:imagined:1", "gpu"} for rule in ON_GPUS},
    }


def test_what_jobs_ask_for_is_what_the_page_says(told: Story) -> None:
    """But for the cores beside a GPU: here one."""
    rows = page.asked()
    for rule in ["import_scene", *ON_GPUS]:
        hung = str(told.hit["expert 2"])  # its end was brought near
        jobs = told.jobs_of(f"{rule}_wildcards_.*")
        job = next(job for job in jobs if job["JobId"] != hung)
        row = rows[rule]
        assert job["MinMemoryNode"] == f"{row.memory_mb}M", rule
        hours, minutes = divmod(row.minutes, 60)
        assert job["TimeLimit"] == f"{hours:02}:{minutes:02}:00", rule


def test_rules_of_seconds_need_no_place_in_the_queue(told: Story) -> None:
    made = ["points/points.npz", "covisibility/covisibility.npz", f"azimuth-{K}/partition.json"]
    assert all((told.results / "ball" / file).exists() for file in made)


@pytest.mark.parametrize(
    ("name", "state"), [("expert 0", "CANCELLED"), ("expert 1", "FAILED"), ("expert 2", "TIMEOUT")]
)
def test_a_lost_job_is_retried_with_more_and_goes_on(told: Story, name: str, state: str) -> None:
    lost = told.jobs[told.hit[name]]
    assert lost["JobState"] == state
    asked = told.waiting[told.hit[name]]
    assert (asked["TimeLimit"], asked["MinMemoryNode"]) == ("04:00:00", "8000M")
    attempts = told.jobs_of(f"expert_wildcards_.*_{name[-1]}")
    retry = attempts[attempts.index(lost) + 1]
    assert (retry["JobState"], retry["TimeLimit"]) == ("COMPLETED", "08:00:00")
    assert retry["MinMemoryNode"] == "16000M"
    assert 0 < told.step[name] <= first_step(told.said_by(retry)) < STEPS


def test_a_cancelled_training_saves_its_state_before_it_goes(told: Story) -> None:
    said = told.said_by(told.jobs[told.hit["expert 0"]])
    assert "stopped with status 143; what is done is kept" in said


def test_a_requeued_job_goes_on_within_the_same_attempt(told: Story) -> None:
    requeued = told.jobs[told.hit["baseline"]]
    assert (requeued["Restarts"], requeued["TimeLimit"]) == ("1", "04:00:00")
    assert requeued["JobState"] == "COMPLETED"
    assert 0 < told.step["baseline"] <= first_step(told.said_by(requeued)) < STEPS


def test_jobs_wait_for_a_drained_node_and_keep_the_settings_they_were_planned_with(
    told: Story,
) -> None:
    assert set(TRAININGS) <= {name_of(job) for job in told.waiting.values()}
    assert any("DRAINED" in job["Reason"] for job in told.waiting.values())
    for path in [BASELINE, *(f"{EXPERTS}/expert{group}" for group in range(K))]:
        record = json.loads((told.results / path / "model.json").read_text())
        assert record["stage_settings"]["train"]["learning_rate"] == RATE, path


def test_no_output_is_written_by_two_jobs_after_snakemake_was_killed(told: Story) -> None:
    orphan, newcomer = told.jobs[told.hit["orphan"]], told.jobs[told.hit["newcomer"]]
    assert orphan["JobState"] == newcomer["JobState"] == "COMPLETED"
    assert "going on from step" in told.said_by(orphan)
    said = told.said_by(newcomer)
    assert f"Slurm job {told.hit['orphan']}" in said
    assert "finished before; its result is taken from" in said
    assert "going on from step" not in said
    jobs = told.jobs_of("expert_wildcards_.*_2")
    assert [job["JobState"] for job in jobs] == ["TIMEOUT", "COMPLETED", "COMPLETED"]


def test_no_finished_training_is_repeated_after_snakemake_was_killed(told: Story) -> None:
    assert len(told.kept) >= K - 1
    for path, record in told.kept.items():
        assert (told.results / path).read_bytes() == record, path
    for group in range(K - 1):
        attempts = told.jobs_of(f"expert_wildcards_.*_{group}")
        assert [job["JobState"] for job in attempts[1:]] == ["COMPLETED"]
    for rule in ("baseline", "distill", "finetune"):
        for earlier, later in pairwise(told.jobs_of(f"{rule}_wildcards_.*")):
            if earlier["Comment"] == later["Comment"]:
                assert "finished before" in told.said_by(later)


def test_every_command_of_the_page_was_run(told: Story) -> None:
    assert told.ran == [line for lines in page.commands().values() for line in lines]
    orphan = told.jobs[told.hit["orphan"]]
    assert f"{told.hit['orphan']} RUNNING {orphan['Comment']}" in told.orphans
    assert str(told.project.folder) in told.orphans
