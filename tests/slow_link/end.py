"""Our end: a process of end.rs, which says line by line how its connections are."""

import asyncio
import ctypes
import re
import signal
import sys
from subprocess import PIPE, STDOUT, Popen

PR_SET_PDEATHSIG = 1
START_SECONDS = 60
END_SECONDS = 30
EXPECTED = r"listening on |open$|sent$|answered |closed$|exit status 0$"


def end_with_us():
    """Should this process be killed, a frozen one would not see that its stdin ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class End:
    """Lives as long as its `async with` block, at most."""

    program = None  # its path

    def __init__(self, adapter, shape, role, target, connections, work, settings=()):
        words = (self.program, adapter, shape, role, target, connections, work, *settings)
        self.command = [str(word) for word in words]
        self.lines = []  # (time, line)
        self.news = asyncio.Event()

    async def __aenter__(self):
        # Not asyncio's processes: with these it is we who reap, and a signal never meets another.
        self.process = Popen(
            self.command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, preexec_fn=end_with_us
        )
        self.over = asyncio.ensure_future(self._follow())
        return self

    async def __aexit__(self, *_):
        self.process.kill()
        await asyncio.wait({self.over}, timeout=END_SECONDS)
        self.over.cancel()
        self.process.stdin.close()

    async def _follow(self):
        loop = asyncio.get_running_loop()
        stdout = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stdout)
        await loop.connect_read_pipe(lambda: protocol, self.process.stdout)
        while line := await stdout.readline():
            self._heard(line.decode().strip())
        status = await loop.run_in_executor(None, self.process.wait, END_SECONDS)
        self._heard(f"exit status {status}")
        return status

    def _heard(self, line):
        self.lines.append((asyncio.get_running_loop().time(), line))
        self.news.set()

    def signal(self, name):
        self.process.send_signal(getattr(signal, name))

    def said(self, pattern):
        return [(time, match) for time, line in self.lines
                if (match := re.fullmatch(pattern, line))]

    def bad(self):
        """What it said that nobody wants to hear."""
        return [line for _, line in self.lines if not re.match(EXPECTED, line)]

    async def says(self, pattern, seconds, count=1, bad=False):
        """Waits until that many lines are like it: the last of them, with its time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            found = self.said(pattern)
            if len(found) >= count:
                return found[count - 1]
            if not bad and (wrong := self.bad()):
                raise AssertionError(f"our end: {'; '.join(wrong[:3])}")
            if self.over.done():
                raise AssertionError(f"our end exited, before it said {pattern!r}")
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), max(0, deadline - loop.time()))
            except asyncio.TimeoutError:
                got = f"{len(found)} of {count} times" if count > 1 else "not"
                raise AssertionError(
                    f"our end said {pattern!r} {got} within {seconds:.0f} s"
                ) from None

    async def url(self):
        _, match = await self.says(r"listening on (ws://\S+)", START_SECONDS)
        return match[1]

    async def ends_cleanly(self, connections=1):
        await self.says("closed", END_SECONDS, connections)
        await self.says("exit status 0", END_SECONDS)
