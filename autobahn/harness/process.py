"""Child processes that are followed while they run and never outlive us."""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Failure(Exception):
    """The suite could not be run at all; the text is for the user."""


def say(text=""):
    print(text, flush=True)


def shown(path, base=ROOT):
    """The path as short as it can be said."""
    return str(path.relative_to(base) if base in path.parents else path)


class Process:
    """A child process that lives as long as its `async with` block, at most.

    Its output is followed line by line, and copied to `log`. `announced` is a future of the
    first match of the pattern `announce`; `done` is a task that ends with the exit status.
    """

    def __init__(self, command, log=None, on_line=None, announce=None, stderr=STDOUT, env=()):
        self.command = [str(word) for word in command]
        self.log = log
        self.on_line = on_line
        self.announce = announce
        self.stderr = stderr
        self.env = env

    async def __aenter__(self):
        # A PYTHONPATH meant for one Python breaks another. Without PYTHONUNBUFFERED the lines
        # that tell the progress would come in blocks.
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        env.update(PYTHONUNBUFFERED="1", PYTHONNOUSERSITE="1", **dict(self.env))
        self.announced = asyncio.get_running_loop().create_future()
        self.child = await asyncio.create_subprocess_exec(
            *self.command,
            cwd=ROOT,
            env=env,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=self.stderr,
            # A group of its own: Ctrl-C reaches only us, and we end the child with all of its
            # own children.
            start_new_session=True,
            limit=1 << 20,
        )
        self.done = asyncio.ensure_future(self._follow())
        return self

    async def __aexit__(self, *_):
        if self.child.returncode is None:
            # Before anything is awaited, so that a second Ctrl-C cannot prevent it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
        await asyncio.wait({self.done}, timeout=5)
        self.done.cancel()

    async def _follow(self):
        with open(self.log or os.devnull, "wb") as log:
            while True:
                try:
                    line = await self.child.stdout.readline()
                except ValueError:  # longer than `limit`: nothing that we look for
                    continue
                if not line:
                    return await self.child.wait()
                log.write(line)
                log.flush()
                self._heard(line.decode(errors="replace").rstrip())

    def _heard(self, line):
        if self.on_line:
            self.on_line(line)
        match = self.announce and re.search(self.announce, line)
        if match and not self.announced.done():
            self.announced.set_result(match[1])

    @property
    def over(self):
        return self.done.done()

    @property
    def status(self):
        return self.done.result()

    def fate(self):
        killed = self.status < 0
        return f"signal {signal.Signals(-self.status).name}" if killed else f"status {self.status}"

    async def ends(self, seconds):
        """Waits for the end of the process; returns whether it came."""
        await asyncio.wait({self.done}, timeout=seconds)
        return self.over


async def output_of(*command, seconds=60):
    """What a command prints, or None if it fails."""
    lines = []
    with contextlib.suppress(OSError):
        async with Process(command, on_line=lines.append, stderr=DEVNULL) as process:
            if await process.ends(seconds) and process.status == 0:
                return "\n".join(lines)
    return None


@contextlib.asynccontextmanager
async def locked(path, patience, purpose):
    """Holds a lock file against other runs; waits `patience` seconds for one that has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with open(path, "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Failure(f"another run {purpose} {shown(path.parent)}") from None
            await asyncio.sleep(0.5)
        yield


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
