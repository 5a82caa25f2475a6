"""The other end: a WebSocket of a few lines, that answers pings or not, and reads as it likes."""

import asyncio
import base64
import hashlib
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE_SECONDS = 60
# RFC 6455 §1.3: the key of its example, and what that comes to.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ended(Exception):
    """The connection is over; the text says how."""


class Peer:
    """One connection; `serve` is to run all the time."""

    def __init__(self, sock, is_client, pace=None):
        self.sock = sock
        self.is_client = is_client
        self.buffer = bytearray()
        self.pace = pace  # bytes per second that are read, once it is open
        self.answers = True  # pings
        self.kept = []  # pings that were not answered
        self.pings = 0
        self.pinged = asyncio.Event()
        self.messages = asyncio.Queue()
        self.writing = asyncio.Lock()
        self.closed = None  # the code of their Close, then
        self.over = None  # the task, then

    # ---- bytes

    async def _fill(self):
        loop = asyncio.get_running_loop()
        paced = self.pace if self.over else None
        if paced:
            await asyncio.sleep(1)
        try:
            got = await loop.sock_recv(self.sock, paced or 65536)
        except OSError as error:
            raise Ended(f"{error.strerror}") from None
        if not got:
            raise Ended("end of TCP")
        self.buffer += got

    async def _take(self, count):
        while len(self.buffer) < count:
            await self._fill()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    async def _head(self):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            await self._fill()
        return (await self._take(end + 4)).decode("ascii").split("\r\n")

    async def _write(self, data):
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    # ---- the opening handshake

    async def open(self):
        await asyncio.wait_for(self._open(), HANDSHAKE_SECONDS)
        self.over = asyncio.ensure_future(self._serve())

    async def _open(self):
        if self.is_client:
            lines = ["GET / HTTP/1.1", "Host: localhost", "Upgrade: websocket",
                     "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}",
                     "Sec-WebSocket-Version: 13"]
            await self._write("\r\n".join([*lines, "", ""]).encode())
            status, *lines = await self._head()
            assert status.split()[1] == "101", status
            assert ACCEPT in "\n".join(lines), lines
        else:
            _, *lines = await self._head()
            fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
            lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                     "Connection: Upgrade",
                     f"Sec-WebSocket-Accept: {accept(fields['sec-websocket-key'])}"]
            await self._write("\r\n".join([*lines, "", ""]).encode())

    # ---- frames

    async def send(self, opcode, payload):
        mask = os.urandom(4) if self.is_client else b""
        if len(payload) < 126:
            head = bytes([0x80 | opcode, len(payload) | 0x80 * self.is_client])
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127 | 0x80 * self.is_client, len(payload))
        frame = head + mask + (masked(payload, mask) if mask else payload)
        async with self.writing:  # nothing goes out inside of another
            await self._write(frame)

    async def _frame(self):
        first, second = await self._take(2)
        length = second & 127
        if length == 126:
            length, = struct.unpack("!H", await self._take(2))
        elif length == 127:
            length, = struct.unpack("!Q", await self._take(8))
        mask = await self._take(4) if second & 0x80 else b""
        payload = await self._take(length)
        return first >> 7, first & 15, masked(payload, mask) if mask else payload

    async def _serve(self):
        """Up to the end: how it came to that."""
        parts = []
        try:
            while True:
                fin, opcode, payload = await self._frame()
                if opcode == PING:
                    self.pings += 1
                    self.pinged.set()
                    if self.answers:
                        await self.send(PONG, payload)
                    else:
                        self.kept.append(payload)
                elif opcode == CLOSE:
                    self.closed = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    await self.send(CLOSE, payload)
                    if not self.is_client:  # RFC 6455 §7.1.1: the server ends TCP
                        self.sock.shutdown(socket.SHUT_WR)
                elif opcode < CLOSE:
                    parts.append(payload)
                    if fin:
                        self.messages.put_nowait(b"".join(parts))
                        parts.clear()
        except (Ended, OSError) as end:
            return str(end)

    # ---- what scenarios ask for

    async def message(self, seconds):
        """The next one, within that time."""
        message = asyncio.ensure_future(self.messages.get())
        try:
            await asyncio.wait(
                {message, self.over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if message.done():
                return message.result()
        finally:
            message.cancel()
        if self.over.done():
            raise AssertionError(f"the peer saw {self.over.result()} where a message was to come")
        raise AssertionError(f"no message reached the peer within {seconds:.0f} s")

    def taken(self):
        """Those that are here already."""
        return [self.messages.get_nowait() for _ in range(self.messages.qsize())]

    async def answer_kept(self):
        for payload in self.kept:
            await self.send(PONG, payload)
        self.kept.clear()

    async def drop(self):
        if self.over:
            self.over.cancel()
            await asyncio.wait({self.over})
        self.sock.close()


def masked(payload, mask):
    pad = mask * (len(payload) // 4 + 1)
    count = len(payload)
    number = int.from_bytes(payload, "little") ^ int.from_bytes(pad[:count], "little")
    return number.to_bytes(count, "little")


def accept(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
