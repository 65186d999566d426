"""YAML that people wrote: what is wrong is one line. What is hostile: tests/test_security.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from dac.errors import UserError
from dac.storage.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"scenes: [", "broken YAML at line 1"),
        (b"a: 1\n\tb: 2\n", "broken YAML at line 2"),
        (b"- 1\n", "holds no settings"),
        (b"", "holds no settings"),
        (b"a: \xff", "not UTF-8"),
    ],
)
def test_broken_yaml_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_missing_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
