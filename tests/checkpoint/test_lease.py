"""Leases: of two runners one waits, and takes over from one that is silent; no clock is trusted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from magpie_hub.checkpoint.filesystem import Filesystem
from magpie_hub.checkpoint.lease import Lease
from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import OutputError
from tests.checkpoint.faulty import FAULTS

NAME = "tester--magpie-smol"
PATH = f"{NAME}/lease.json"
TTL = 100.0


class World:
    """A clock that advances when the code sleeps, and what happens at which second."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert self.now < 10_000, "waits for ever"
        end = self.now + seconds
        while due := sorted((at, i) for i, (at, _) in enumerate(self.events) if at <= end):
            at, index = due[0]
            self.now = max(self.now, at)
            self.events.pop(index)[1]()
        self.now = end

    def at(self, second: float, do: Callable[[], object]) -> None:
        self.events.append((5000 + second, do))


@pytest.fixture
def world() -> World:
    return World()


def runner(url: str, world: World, said: list[str]) -> Lease:
    place = Filesystem(url)
    return Lease(place, PATH, ttl=TTL, say=said.append, clock=world.clock, sleep=world.sleep)


def test_a_lease_is_taken_renewed_and_given_back(url: str, world: World) -> None:
    said: list[str] = []
    one = runner(url, world, said)
    one.take()
    first = Filesystem(url).read(PATH)
    one.renew()
    second = Filesystem(url).read(PATH)
    assert first is not None
    assert second is not None
    assert (json.loads(first)["count"], json.loads(second)["count"]) == (0, 1)
    assert json.loads(first)["process"] == os.getpid()
    one.give_back()
    assert Filesystem(url).read(PATH) is None
    assert said == []
    runner(url, world, said).take()


def test_who_waits_says_so_once_and_goes_on_when_it_is_given_back(url: str, world: World) -> None:
    said: list[str] = []
    one, two = runner(url, world, []), runner(url, world, said)
    one.take()
    for second in range(0, 400, 25):
        world.at(second, one.renew)
    world.at(400, one.give_back)
    two.take()
    assert 400 <= world.now - 5000 < 420
    (line,) = said
    assert f"process {os.getpid()} on {os.uname().nodename}" in line
    assert f"{Filesystem(url).shown}/{PATH}" in line


def test_a_silent_lease_is_taken_over_after_its_time(url: str, world: World) -> None:
    one, two = runner(url, world, []), runner(url, world, [])
    one.take()
    world.at(60, one.renew)  # And is killed.
    two.take()
    assert 160 <= world.now - 5000 < 200
    assert not two.lost


def test_clocks_of_other_machines_do_not_matter(url: str, world: World) -> None:
    one, two = runner(url, world, []), runner(url, world, [])
    one.take()
    world.now += 3600  # A day ahead or behind: only what is seen to be silent counts.
    begun = world.now
    world.at(3650, one.renew)
    two.take()
    assert world.now - begun >= 150


def test_a_holder_that_was_paused_finds_out(url: str, world: World) -> None:
    said: list[str] = []
    lost: list[bool] = []
    one = Lease(
        Filesystem(url),
        PATH,
        ttl=TTL,
        say=said.append,
        on_lost=lambda: lost.append(True),
        clock=world.clock,
        sleep=world.sleep,
    )
    two = runner(url, world, [])
    one.take()
    two.take()
    one.renew()
    assert one.lost
    assert lost == [True]
    assert len(said) == 1
    assert "has taken the lease" in said[0]
    one.give_back()  # Not its own any more.
    two.renew()
    assert not two.lost


def test_of_two_that_take_over_at_once_one_goes_on(url: str, world: World) -> None:
    dead, one, two = (runner(url, world, []) for _ in range(3))
    dead.take()
    others: list[Lease] = []
    # While the first lets its lease settle, the second, which saw the dead one too, writes over it.
    real = one._sleep

    def sleep(seconds: float) -> None:
        if world.now - 5000 >= TTL and not others:
            others.append(two)
            two._filesystem.put(PATH, two._content())
            world.at(world.now - 5000 + 50, two.renew)
            world.at(world.now - 5000 + 90, two.give_back)
        real(seconds)

    one._sleep = sleep
    one.take()
    assert others
    assert not two.lost
    assert world.now - 5000 > TTL + 90
    one.renew()
    assert not one.lost


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b"null", b'{"host": 3}', b"\xff"])
def test_a_lease_that_nobody_can_read_expires_too(url: str, world: World, held: bytes) -> None:
    Filesystem(url).put(PATH, held)
    said: list[str] = []
    runner(url, world, said).take()
    assert world.now - 5000 >= TTL
    assert len(said) == 1
    assert "another runner" in said[0]


def test_silence_is_not_known_of_while_the_place_is_away(world: World) -> None:
    url = "faulty-store://bucket"
    one, two = runner(url, world, []), runner(url, world, [])
    one.take()
    for second in range(0, 200, 25):
        world.at(second, lambda: one.renew() if FAULTS.at is None else None)
    world.at(60, lambda: FAULTS.plan(0, forever=True))
    world.at(180, FAULTS.reset)
    two.take()
    assert world.now - 5000 >= 180 + TTL


def test_a_create_whose_answer_was_lost_is_a_lease(world: World) -> None:
    lease = runner("faulty-store://bucket", world, [])
    FAULTS.plan(1, "after", FileExistsError("there is one"))  # After one reading.
    lease.take()
    assert world.now - 5000 < TTL


def test_a_renewal_that_fails_is_tried_again() -> None:
    url = "faulty-store://bucket"
    state, said = CheckpointStore(url, NAME), []
    with state.lease(said.append, ttl=0.2):
        FAULTS.plan(0)
        wait(lambda: FAULTS.at is None)
        before = Filesystem(url).read(PATH)
        wait(lambda: Filesystem(url).read(PATH) != before)
        assert not state.lost
    assert said == []


def test_a_lease_that_cannot_be_released_is_reported() -> None:
    said: list[str] = []
    with CheckpointStore("faulty-store://bucket", NAME).lease(said.append, ttl=60):
        FAULTS.plan(0, forever=True)
    (line,) = said
    assert "could not be released" in line


def test_a_lease_is_given_back_when_the_body_fails(url: str) -> None:
    state = CheckpointStore(url, NAME)
    with pytest.raises(ZeroDivisionError), state.lease(print, ttl=1):
        assert Filesystem(url).read(PATH) is not None
        raise ZeroDivisionError
    assert Filesystem(url).read(PATH) is None


def test_a_lost_lease_is_known_at_the_door(url: str) -> None:
    state, said, lost = CheckpointStore(url, NAME), [], threading.Event()
    with state.lease(said.append, ttl=0.2, on_lost=lost.set):
        assert not state.lost
        Filesystem(url).put(PATH, b'{"id": "x", "host": "elsewhere", "process": 7}')
        assert lost.wait(60)
        assert state.lost
    assert "process 7 on elsewhere" in said[0]
    assert Filesystem(url).read(PATH) is not None


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


RUNNER = """
import sys, time
from magpie_hub.checkpoint.store import CheckpointStore
url, seconds = sys.argv[1], float(sys.argv[2])
say = lambda text: print("said", text, flush=True)
with CheckpointStore(url, "tester--magpie-smol").lease(say, ttl=4):
    print("begin", time.monotonic(), flush=True)
    time.sleep(seconds)
    print("end", time.monotonic(), flush=True)
"""


@contextmanager
def process(url: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUNNER, url, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running: subprocess.Popen[str]) -> tuple[str, str]:
    assert running.stdout is not None
    word, _, rest = running.stdout.readline().strip().partition(" ")
    return word, rest


def test_of_two_processes_one_waits_for_the_other(tmp_path: Path) -> None:
    url = (tmp_path / "state").as_uri()
    with process(url, 3) as one:
        assert line(one)[0] == "begin"
        with process(url, 0) as two:
            word, said = line(two)
            assert word == "said"
            assert f"process {one.pid} on" in said
            word, begun = line(two)
            assert word == "begin"
        word, ended = line(one)
        assert word == "end"
        assert float(begun) >= float(ended)


def test_many_processes_have_the_lease_one_at_a_time(tmp_path: Path) -> None:
    url = str(tmp_path / "state")
    times = []
    with contextlib.ExitStack() as stack:
        for one in [stack.enter_context(process(url, 0.2)) for _ in range(4)]:
            assert one.stdout is not None
            told = [row.split() for row in one.stdout.read().splitlines()]
            times.append([float(row[1]) for row in told if row[0] in ("begin", "end")])
    times.sort()
    for (_, ended), (begun, _) in itertools.pairwise(times):
        assert begun >= ended


def test_a_killed_process_s_lease_expires(tmp_path: Path) -> None:
    url = str(tmp_path / "state")
    with process(url, 1000) as one:
        assert line(one)[0] == "begin"
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        killed = time.monotonic()
        with process(url, 0) as two:
            assert line(two)[0] == "said"
            word, begun = line(two)
            assert word == "begin"
            assert float(begun) - killed >= 3.5


def test_a_stopped_process_loses_its_lease_and_finds_out(tmp_path: Path) -> None:
    url = str(tmp_path / "state")
    with process(url, 1000) as one:
        assert line(one)[0] == "begin"
        os.kill(one.pid, signal.SIGSTOP)
        with process(url, 1000) as two:
            assert line(two)[0] == "said"
            assert line(two)[0] == "begin"
            os.kill(one.pid, signal.SIGCONT)
            word, said = line(one)
            assert word == "said"
            assert f"process {two.pid} on" in said
            assert "has taken the lease" in said


def test_a_place_that_cannot_be_written_takes_no_lease(world: World) -> None:
    FAULTS.plan(1, forever=True, error=PermissionError("Access Denied"))
    with pytest.raises(OutputError, match="Access Denied"):
        runner("faulty-store://bucket", world, []).take()
