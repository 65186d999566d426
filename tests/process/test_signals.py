"""A job that is told to go does so: at once, after saving, or hard."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from dac.process.signals import STOPPING, deferred, listening

# A job that does something; where it may be told to go, it says that it is ready.
JOB = """
import sys, time, threading
from dac.process.signals import deferred, listening

def ready():
    print("ready", flush=True)

with listening():
    {body}
"""
# Counts for ever within one call of a library, and is told to go meanwhile.
ENDLESS = """
    import os, signal, sqlite3
    told = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    told.daemon = True
    told.start()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    sqlite3.connect(":memory:").execute(numbers + " SELECT COUNT(*) FROM n")
"""


def stopped(body: str, number: int) -> tuple[int, float, str]:
    """Exit status, seconds from the signal to the end, what was said after `ready`."""
    command = [sys.executable, "-c", JOB.format(body=body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "ready\n"
        job.send_signal(number)
        start = time.monotonic()
        said = job.stdout.read()
        return job.wait(timeout=30), time.monotonic() - start, said


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_a_job_at_once(number: int) -> None:
    body = "try: ready(); time.sleep(60)\n    finally: print('tidied')"
    status, seconds, said = stopped(body, number)
    assert status == 128 + number and said == "tidied\n" and seconds < 5


def test_a_long_call_is_ended_hard() -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", JOB.format(body=ENDLESS)], capture_output=True)
    assert done.returncode == 128 + signal.SIGTERM and 5 < time.monotonic() - start < 10


def test_what_a_library_made_of_the_signal_is_known() -> None:
    with listening() as told:
        try:
            signal.raise_signal(signal.SIGUSR1)
        except SystemExit:
            assert told.received == signal.SIGUSR1
    with listening() as told:
        assert told.received == 0


def test_a_deferred_block_saves_first() -> None:
    body = (
        "with deferred() as stop:\n        ready()\n"
        "        while not stop.received: time.sleep(0.01)\n"
        "        time.sleep(0.1); print('saved'); stop.leave()"
    )
    status, _, said = stopped(body, signal.SIGUSR1)
    assert status == 128 + signal.SIGUSR1 and said == "saved\n"


def test_a_signal_too_late_to_ask_for_ends_nothing() -> None:
    body = "with deferred() as stop: ready(); time.sleep(0.5)\n    print('done')"
    assert stopped(body, signal.SIGTERM)[::2] == (0, "done\n")


def test_inner_blocks_share_the_request() -> None:
    with deferred() as outer:
        with deferred() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert inner is outer and outer.received == signal.SIGTERM
    with deferred() as later:
        assert later.received == 0


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with listening(), deferred():
        assert [signal.getsignal(number) for number in STOPPING] != before
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_other_threads_may_defer_too() -> None:
    seen: list[int] = []

    def work() -> None:
        with deferred() as stop:
            seen.append(stop.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]
