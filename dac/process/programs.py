"""Running other programs, in such a way that they end where their caller is ended."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType


class Programs:
    """Programs under way; where the block is left by an exception, they are killed."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []
        self._ended = False

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._ended = True
            self._kill()

    def run(
        self, command: Sequence[str], heard: Callable[[str], object] | None = None
    ) -> tuple[int, str]:
        """Run a program to its end; may be called from several threads.

        Args:
            heard: is given each line that the program says, as it says it.

        Returns:
            Status, and the command with what the program said.

        Raises:
            OSError: it can't be started.
        """
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running.append(process)
        if self._ended:  # it was started while the others were killed
            self._kill()
        assert process.stdout is not None
        said = [shlex.join(command) + "\n"]
        with process.stdout:
            for line in process.stdout:
                said.append(line)
                if heard is not None:
                    heard(line)
        return process.wait(), "".join(said)

    def _kill(self) -> None:
        for process in self._running:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with the programs that it has started
