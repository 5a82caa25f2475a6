"""A path in this process: what a socket gives goes on later, slower, in stalls, or not at all."""

import asyncio
import collections
import contextlib
import random
import socket

SEGMENT = 1448  # what stalls, one by one
CHUNK = 16384  # otherwise, or a twentieth of a second's worth if that is more
HELD_WHEN_DEAD = 1 << 20  # each way
ROOM = 64 * 1024  # held beside what is under way, at most


class Relay:
    """Between the end's socket and the one that `peer` is for.

    `rate` in bytes per second, `delay` in seconds each way. Of the segments one in `stalls` comes
    `stall` seconds late, with all that follow it: what TCP makes of one that was lost several times.
    """

    def __init__(self, sock, rate=None, delay=0.0, stalls=0, stall=0.0, seed=0):
        self.rate, self.delay, self.stalls, self.stall = rate, delay, stalls, stall
        self.dead = False
        self.left = HELD_WHEN_DEAD
        self.stalled = 0
        self.random = random.Random(seed)
        self.end = sock
        inner, self.peer = socket.socketpair()
        self.inner = inner
        for each in (sock, inner, self.peer):
            each.setblocking(False)
        ways = ((sock, inner), (inner, sock))
        self.tasks = [asyncio.ensure_future(self._way(*way)) for way in ways]

    def cut(self):
        """From now on nothing goes on; what comes is taken until that is all that it holds."""
        self.dead = True

    async def drop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.end.close()
        self.inner.close()

    async def _way(self, source, drain):
        way = Way(ROOM + int((self.rate or 0) * self.delay))
        both = [
            asyncio.ensure_future(self._take(source, way)),
            asyncio.ensure_future(self._give(drain, way)),
        ]
        try:
            await asyncio.gather(*both)
        except OSError:  # one has hung up: so do we
            for each in (source, drain):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _take(self, source, way):
        loop = asyncio.get_running_loop()
        size = SEGMENT if self.stalls else max(CHUNK, (self.rate or 0) // 20)
        free = late = 0.0  # when the line is free again, and when what was stalled comes
        data = True
        while data:
            data = await loop.sock_recv(source, size)
            due = loop.time()
            if self.rate:
                due = free = max(free, due) + len(data) / self.rate
            if self.stalls and self.random.randrange(self.stalls) == 0:
                late = due + self.stall
                self.stalled += 1
            if self.dead:
                self.left -= len(data)
                if self.left < 0:
                    await asyncio.Event().wait()  # as a proxy does whose far side is gone
            await way.put(max(due + self.delay, late), data)
            if (wait := free - loop.time()) > 0.05:
                await asyncio.sleep(wait)

    async def _give(self, drain, way):
        loop = asyncio.get_running_loop()
        data = True
        while data:
            due, data = await way.first()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if self.dead:
                pass
            elif data:
                await loop.sock_sendall(drain, data)
            else:
                drain.shutdown(socket.SHUT_WR)
            await way.done()


class Way:
    """What is under way, up to a number of bytes."""

    def __init__(self, room):
        self.room = room
        self.queue = collections.deque()
        self.changed = asyncio.Condition()

    async def put(self, due, data):
        async with self.changed:
            await self.changed.wait_for(lambda: self.room > 0)
            self.room -= len(data)
            self.queue.append((due, data))
            self.changed.notify_all()

    async def first(self):
        async with self.changed:
            await self.changed.wait_for(lambda: self.queue)
            return self.queue[0]

    async def done(self):
        async with self.changed:
            self.room += len(self.queue.popleft()[1])
            self.changed.notify_all()
