"""The `websockets` peer with compression: `deflate_peer.py MESSAGES`.

Its twin is deflate_peer.js. Both read jobs from standard input, a line each:
`{"url": URL or null, "deflate": {…}}`, with the settings of permessage-deflate by their names in
RFC 7692; where an offer may have one without a value, this is `true`. With a URL it is a client,
without one a server, which prints `listening on URL` first and takes one client. Either way it
sends what is in MESSAGES and has it echoed, phase by phase, and prints an object on a line:
`agreed`, the extensions in the response; `phases`, the bytes by the name of the phase, of payload
and as they went through the socket, out and in; `pings`, how many were answered in time; `closed`,
the close code. Or only `error`.

MESSAGES: `{PHASE: [{"text": whether it is one, "parts": [base64, …]}, …], …}`. Of a message with
several parts, each is a fragment, and before the last one a ping has to be answered.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions import permessage_deflate

JOB_SECONDS = 20


class Counted:
    """A connection that counts what goes through its socket."""

    bytes_in = bytes_out = 0

    def connection_made(self, transport):
        super().connection_made(transport)
        write = transport.write

        def counting(data):
            self.bytes_out += len(data)
            write(data)

        transport.write = counting

    def data_received(self, data):
        self.bytes_in += len(data)
        super().data_received(data)


class CountedClient(Counted, ClientConnection):
    pass


class CountedServer(Counted, ServerConnection):
    pass


class Message:
    def __init__(self, text, parts):
        self.text = text
        self.parts = [base64.b64decode(part) for part in parts]
        self.size = sum(map(len, self.parts))
        self.whole = b"".join(self.parts)
        if text:
            self.whole = self.whole.decode()


async def as_client(url, deflate):
    factory = permessage_deflate.ClientPerMessageDeflateFactory(**deflate)
    settings = {"compression": None, "extensions": [factory], "proxy": None}
    async with connect(url, create_connection=CountedClient, **settings) as ws:
        return await talk(ws)


async def as_server(deflate):
    factory = permessage_deflate.ServerPerMessageDeflateFactory(**deflate)
    settings = {"compression": None, "extensions": [factory]}
    done = asyncio.get_running_loop().create_future()

    async def handler(ws):
        try:
            done.set_result(await talk(ws))
        except Exception as error:
            done.set_exception(error)

    async with serve(handler, "127.0.0.1", 0, create_connection=CountedServer, **settings) as it:
        port = it.sockets[0].getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}", flush=True)
        return await done


async def talk(ws):
    agreed = ws.response.headers.get("Sec-WebSocket-Extensions", "")
    result = {"agreed": agreed, "phases": {}, "pings": 0}

    async def fragments(parts):
        for part in parts[:-1]:
            yield part
        await (await ws.ping())
        result["pings"] += 1
        yield parts[-1]

    async def send(messages):
        for message in messages:
            if len(message.parts) > 1:
                await ws.send(fragments(message.parts), text=message.text)
            else:
                await ws.send(message.whole)

    async def receive(phase, messages):
        for at, message in enumerate(messages):
            if (got := await ws.recv()) != message.whole:
                raise AssertionError(
                    f"{phase}, message {at} of {message.size} bytes came back as {got!r:.60}"
                )

    for phase, messages in MESSAGES.items():
        before = ws.bytes_out, ws.bytes_in
        await asyncio.gather(send(messages), receive(phase, messages))
        payload = sum(message.size for message in messages)
        bytes_out, bytes_in = ws.bytes_out - before[0], ws.bytes_in - before[1]
        result["phases"][phase] = {"payload": payload, "out": bytes_out, "in": bytes_in}
    await ws.close()
    return result | {"closed": int(ws.close_code)}


async def jobs():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        url, deflate = job["url"], job["deflate"]
        work = as_client(url, deflate) if url else as_server(deflate)
        try:
            result = await asyncio.wait_for(work, JOB_SECONDS)
        except Exception as error:
            result = {"error": f"{type(error).__name__} {error}"}
        print(json.dumps(result), flush=True)


MESSAGES = {
    phase: [Message(**message) for message in messages]
    for phase, messages in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")).items()
}
asyncio.run(jobs())
