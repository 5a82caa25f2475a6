"""The `websockets` peer: `peer.py client URL` checks an echo server, `peer.py server` is one.

Its twin is peer.js: both take their cases from cases.json and print the same lines.

As a client it prints `ok NAME` or `FAIL NAME: why` for each check, and exits 0 once all were tried.
As a server it prints `listening on URL`, and `closed CODE` at the end of each connection. At the
path `/` it echoes; at `/reset` and `/drop` the first message makes it end TCP without a Close.
"""

import asyncio
import json
import socket
import struct
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
CHECK_SECONDS = 10
# Longer than a check may take: a server that does not close TCP is to fail, not to be forgiven.
CLOSE_SECONDS = 2 * CHECK_SECONDS


async def client(url):
    async def check(name, body):
        async def connected():
            ws = await connect(url, close_timeout=CLOSE_SECONDS, proxy=None)
            try:
                await body(ws)
            finally:
                ws.transport.abort()

        try:
            await asyncio.wait_for(connected(), CHECK_SECONDS)
            print(f"ok {name}", flush=True)
        except Exception as error:
            print(f"FAIL {name}: {type(error).__name__} {error}", flush=True)

    def echoes(payload, sent=None):
        async def body(ws):
            await ws.send(payload if sent is None else sent)
            expect(await ws.recv(), payload)

        return body

    for name, text in CASES["texts"].items():
        await check(f"text, {name}", echoes(text))
    for size in CASES["binary_sizes"]:
        await check(f"binary, size {size}", echoes(octets(size)))

    async def fragmented_text(ws):
        whole = CASES["texts"]["multi-byte"]
        await ws.send([bytes([byte]) for byte in whole.encode()], text=True)
        expect(await ws.recv(), whole)

    async def ping_between_fragments(ws):
        async def fragments():
            yield "be"
            await pong(ws, b"within")
            yield "fore"

        await echoes("before", sent=fragments())(ws)

    async def pings(ws):
        for size in (0, 1, 125):
            await pong(ws, octets(size))
        for i in range(10):
            await ws.send(f"before {i}")
            waiter = await ws.ping(f"ping {i}")
            await ws.send(f"after {i}")
            await waiter
            expect(await ws.recv(), f"before {i}")
            expect(await ws.recv(), f"after {i}")

    async def pipelined(ws):
        for i in range(CASES["pipelined"]):
            await ws.send(f"message {i}")
        for i in range(CASES["pipelined"]):
            expect(await ws.recv(), f"message {i}")

    await check("fragmented text, within code points", fragmented_text)
    ends_empty = [b"", octets(70_000), b""]
    await check("fragmented binary, empty ends", echoes(octets(70_000), sent=ends_empty))
    await check("ping between fragments", ping_between_fragments)
    await check("pings with payload, between messages", pings)
    await check(f"{CASES['pipelined']} pipelined messages", pipelined)

    for close in CASES["closes"]:

        async def closes(ws, code=close["code"], reason=close["reason"]):
            await echoes("last words")(ws)
            await ws.close(code, reason)  # returns once the server has closed TCP
            expect(int(ws.close_code), code or 1005)

        await check(f"close with {close['code'] or 'no code'}", closes)


async def server():
    async def handler(ws):
        try:
            async for message in ws:
                if ws.request.path == "/":
                    await ws.send(message)
                    continue
                if ws.request.path == "/reset":  # no lingering: an RST in place of a FIN
                    linger = struct.pack("ii", 1, 0)
                    raw = ws.transport.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                ws.transport.abort()
        except ConnectionClosed:
            pass
        await ws.wait_closed()
        print(f"closed {int(ws.close_code)}", flush=True)

    async with serve(handler, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}", flush=True)
        await asyncio.Future()  # until ended from outside


async def pong(ws, payload):
    """Sends a ping; returns when a pong came with the same payload."""
    await (await ws.ping(payload))


def octets(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def expect(got, wanted):
    if type(got) is not type(wanted) or got != wanted:
        raise AssertionError(f"got {got!r:.60}, not {wanted!r:.60}")


asyncio.run({"client": client, "server": server}[sys.argv[1]](*sys.argv[2:]))
