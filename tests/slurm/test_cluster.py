"""When no throw-away Slurm can be brought up; and that the page's table is the profile."""

from __future__ import annotations

import shutil
from pathlib import Path

import cluster
import page
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_a_machine_with_a_slurm_of_its_own_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ETC", tmp_path)
    (tmp_path / "slurm.conf").symlink_to("nowhere")
    with pytest.raises(cluster.CannotStartError, match="this machine has a Slurm of its own"):
        cluster.refuse()


def test_only_root_can_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ETC", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(cluster.CannotStartError, match="needs root"):
        cluster.refuse()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ETC", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "munged" else name)
    with pytest.raises(cluster.CannotStartError, match="munged not found: apt-get install slurm"):
        cluster.refuse()


def test_the_table_says_what_the_profile_asks_for() -> None:
    profile = yaml.safe_load((ROOT / "slurm" / "profile.v9+.yaml").read_text())
    rows = page.asked()
    assert set(rows) == {*profile["set-resources"], "import_scene"}
    for rule, resources in profile["set-resources"].items():
        row = rows[rule]
        assert row.gpus == resources.get("gpu", 0), rule
        assert row.cores == profile["set-threads"][rule], rule
        assert resources["mem_mb"] == f"{row.memory_mb} * attempt", rule
        assert resources["runtime"] == f"{row.minutes} * attempt", rule
