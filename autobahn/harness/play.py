"""Plays the cases: a process of the suite against one of the testee, shard by shard."""

import asyncio
import contextlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from cases import is_deflate, shard_of
from process import Process, free_port, say

# Seconds.
START_LIMIT = 30  # until a server listens
GRACE = 30  # for a process to notice that its peer is gone, and to report
PROGRESS_EVERY = 10


class Broken(Exception):
    """A shard could not be played to its end."""


@dataclass
class Shard:
    """The part of a run that one process of the suite plays."""

    agent: str
    directory: Path
    cases: list
    started: int = 0
    index: dict = field(default_factory=dict)  # the suite's index.json: verdicts by case
    problems: list = field(default_factory=list)

    def follow_suite(self, line):
        self.started += line.startswith("Running test case ID")

    def follow_testee(self, line):
        # A server survives a panic of one connection, and no verdict need show it.
        if "panicked at" in line:
            self.problems.append(f"the testee: {line}")


class Run:
    """One testee in one mode, "server" or "client", against all the cases asked for."""

    def __init__(self, name, testee, cases, out):
        self.name = name
        self.testee = testee
        self.mode, adapter = name.split("/")
        self.begin = self.end = 0
        directory = out / f"{self.mode}-{adapter}"
        shutil.rmtree(directory, ignore_errors=True)  # no verdict of an earlier run may be read
        parts = {}
        for case in cases:
            parts.setdefault(shard_of(case), []).append(case)
        agent = f"fullduplex-{adapter}"
        self.shards = [Shard(agent, directory / name, some) for name, some in parts.items()]

    async def play(self, shard, suite, limit):
        self.begin = self.begin or time.monotonic()
        shard.directory.mkdir(parents=True)
        index = shard.directory / "index.json"
        play = play_server if self.mode == "server" else play_client
        try:
            await play(shard, suite, self.testee, limit)
        except (Broken, OSError) as problem:
            shard.problems.append(str(problem))
        try:
            # One testee, whatever its name: kosoku takes that from the Server header.
            for entries in json.loads(index.read_text()).values():
                shard.index.update(entries)
        except (OSError, ValueError):
            shard.problems.append("the suite left no report")
        self.end = time.monotonic()


async def play_all(runs, suite, limit, jobs):
    """Plays `jobs` shards at a time; each process of the suite has `limit` seconds."""
    slots = asyncio.Semaphore(jobs)

    async def play(run, shard):
        async with slots:
            await run.play(shard, suite, limit)

    # The core of every run comes first: it tells most in the shortest time.
    turns = [(run, shard) for run in runs for shard in run.shards]
    turns.sort(key=lambda turn: is_deflate(turn[1].cases[0]))
    ticker = asyncio.ensure_future(show_progress(runs))
    try:
        await asyncio.gather(*(play(*turn) for turn in turns))
    finally:
        ticker.cancel()


async def show_progress(runs):
    begin = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_EVERY)
        states = []
        for run in runs:
            started = sum(shard.started for shard in run.shards)
            total = sum(len(shard.cases) for shard in run.shards)
            # kosoku does not tell where it is.
            states.append(f"{run.name} {started or '?'}/{total}")
        say(f"{time.monotonic() - begin:5.0f} s   " + "   ".join(states))


async def play_server(shard, suite, testee, limit):
    """The testee is a server, the suite its client."""
    command = [*testee, "--addr", f"127.0.0.1:{free_port()}"]
    log, announce = shard.directory / "testee.log", r"listening on (ws://\S+)"
    async with Process(command, log, shard.follow_testee, announce) as server:
        events = {server.announced, server.done}
        await asyncio.wait(events, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if not server.announced.done():
            raise Broken(f"the server did not say `listening on ws://...` {why_not(server)}")
        command = suite.client(shard, server.announced.result())
        async with Process(command, shard.directory / "suite.log", shard.follow_suite) as client:
            await contest(server, client, limit)
            check_end(shard, suite.name, client, suite.statuses)
            if not client.over:
                await suite.conclude(client)
            if server.over:
                shard.problems.append(f"the server ended early, with {server.fate()}")


async def play_client(shard, suite, testee, limit):
    """The testee is a client, the suite its server."""
    port = free_port()
    command = suite.server(shard, port)
    async with Process(command, shard.directory / "suite.log", shard.follow_suite) as server:
        await accepts(server, port)
        command = [*testee, f"ws://127.0.0.1:{port}", shard.agent]
        log = shard.directory / "testee.log"
        async with Process(command, log, shard.follow_testee) as client:
            await contest(server, client, limit)
            check_end(shard, "the client", client)
        if server.over and not suite.ends_itself:
            shard.problems.append(f"{suite.name} ended early, with {server.fate()}")
        else:
            # The client has asked for the reports, if it lived to do so. Now they are complete.
            await suite.conclude(server)
            check_end(shard, suite.name, server, suite.statuses)


async def contest(server, client, limit):
    """Waits until the client is done, or has had time to notice that the server is gone."""
    ends = {server.done, client.done}
    await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    if server.over:
        await client.ends(GRACE)


def check_end(shard, name, process, statuses=(0,)):
    if not process.over:
        shard.problems.append(f"{name} did not end in time")
    elif process.status not in statuses:
        shard.problems.append(f"{name} ended with {process.fate()}")


def why_not(server):
    return f"but ended with {server.fate()}" if server.over else f"within {START_LIMIT} s"


async def accepts(server, port):
    """Waits until the port accepts connections."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and not server.over:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise Broken(f"the suite's server accepted no connection {why_not(server)}")
