"""What the jobs of a traced copy of the workflow call around their work: it tells what they do.

The file that `DAC_TRACE` names gets a line `what log number` for the `begin` and `end` of a job, a
`clash` where another living process does the same job, each `step` of a training, and when its
result is `kept`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TRACE = Path(os.environ["DAC_TRACE"])


def around(main: Callable[[Any], None], job: Any, log: Path) -> None:
    """Do the job, and tell."""
    name = hashlib.sha256(str(log).encode()).hexdigest()[:16]
    writer = _TRACE.with_name(f"writer-{name}")
    if writer.exists() and _lives(int(writer.read_text())):
        tell("clash", log)
    writer.write_text(str(os.getpid()))
    tell("begin", log)
    if "state" in dict(job.params.items()) and "label" not in dict(job.params.items()):
        _watch_training(log)
    main(job)
    writer.unlink()
    tell("end", log)


def tell(what: str, log: Path, number: int = 0) -> None:
    line = f"{what} {log} {number}\n".encode()
    descriptor = os.open(_TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line)
    os.close(descriptor)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _watch_training(log: Path) -> None:
    from dac.storage.states import Finished
    from dac.training.console import Console

    step, new_folder = Console.step, Finished.new_folder

    def told_step(self: Any, progress: Any, loss: float) -> None:
        step(self, progress, loss)
        tell("step", log, progress.step)

    @contextmanager
    def told_new_folder(self: Any, out: Path) -> Iterator[Path]:
        with new_folder(self, out) as part:
            yield part
        tell("kept", log)

    Console.step = told_step  # type: ignore[method-assign]
    Finished.new_folder = told_new_folder  # type: ignore[method-assign]
