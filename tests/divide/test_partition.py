from __future__ import annotations

from pathlib import Path

import pytest

from dac.divide.partition import Partition
from dac.errors import UserError
from dac.storage.artifacts import write_json


def test_saves_and_loads(tmp_path: Path) -> None:
    partition = Partition("azimuth", (("a", "b"), ("c",)), {"a": 0, "b": 0, "c": 1}, ("a note",))
    path = tmp_path / "new" / "partition.json"
    partition.save(path)
    assert Partition.load(path) == partition
    assert partition.count == 2


@pytest.mark.parametrize(
    "change",
    [
        {"groups": 3},
        {"groups": [["a"], ["c"]]},
        {"owner": {"a": 0, "b": 0}},
        {"owner": {"a": 0, "b": 1, "c": 1}},
        {"owner": {"a": 0, "b": 0, "c": 2}},
        {"owner": {"a": 0, "b": 0, "c": "1"}},
        {"notes": None},
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "partition.json"
    Partition("azimuth", (("a", "b"), ("c",)), {"a": 0, "b": 0, "c": 1}).save(path)
    assert Partition.load(path).count == 2
    data = {"division": "azimuth", "groups": [["a", "b"], ["c"]]}
    data |= {"owner": {"a": 0, "b": 0, "c": 1}, "notes": []} | change
    write_json(path, data)
    with pytest.raises(UserError, match="is no partition"):
        Partition.load(path)
