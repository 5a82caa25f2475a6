"""What is tried: each scenario is a list of checks, and a check a name and a coroutine function.

Where nothing else is said our end has the default settings of its adapter: a ping after 25 to
31.25 s of silence, and 20 s for the pong.
"""

import asyncio
import contextlib
import socket

import network
from end import END_SECONDS, START_SECONDS, End
from peer import BINARY, CLOSE, TEXT, Peer
from relay import Relay

ENDS = [(a, s) for a in ("blocking", "tokio", "smol") for s in ("whole", "split")]
ROLES = ("client", "server")
NORMAL = b"\x03\xe8"  # 1000

PING_SECONDS = 25 * 1.25  # until one goes out, at the latest
DEAD_SECONDS = PING_SECONDS + 20  # until a dead peer is given up, at the latest
SLACK = 5  # for a machine that has other things to do


OPENING = 8  # so many ends are started at a time
opening = None  # the semaphore for that


@contextlib.asynccontextmanager
async def joined(end, role, work, connections=1, link=None, relay=None, settings=(), pace=None):
    """Our end, peers and relays, as many as there are connections, all of them open."""
    loop = asyncio.get_running_loop()

    def started(role, target):
        return stack.enter_async_context(End(*end, role, target, connections, work, settings))

    async with contextlib.AsyncExitStack() as stack:
        async with opening:
            sockets = []
            if role == "client":
                listening, address = network.listener(link)
                stack.callback(listening.close)
                ours = await started("connect", f"ws://{address}/")
                for _ in range(connections):
                    accepted = asyncio.wait_for(loop.sock_accept(listening), START_SECONDS)
                    sockets.append((await unless_bad(ours, accepted))[0])
            else:
                ours = await started("listen", link.home if link else network.LOCAL)
                host, port = (await ours.url()).removeprefix("ws://").split(":")
                for _ in range(connections):
                    sockets.append(network.dialler(link))
                    connected = loop.sock_connect(sockets[-1], (host, int(port)))
                    await asyncio.wait_for(connected, START_SECONDS)
            relays, peers = [], []
            for i, sock in enumerate(sockets):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if relay is not None:
                    relays.append(Relay(sock, seed=i, **relay))
                    stack.push_async_callback(relays[-1].drop)
                    sock = relays[-1].peer
                peers.append(Peer(sock, is_client=role == "server", pace=pace))
                stack.push_async_callback(peers[-1].drop)
            for peer in peers:
                await unless_bad(ours, peer.open())
            ours.opened, _ = await ours.says("open", START_SECONDS, connections)
        yield ours, peers, relays


async def unless_bad(ours, awaitable):
    """What it gives; an error as soon as our end has said what it should not."""
    task = asyncio.ensure_future(awaitable)
    try:
        while not task.done():
            ours.news.clear()
            if wrong := ours.bad():
                raise AssertionError(f"our end: {'; '.join(wrong[:3])}")
            news = asyncio.ensure_future(ours.news.wait())
            await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})
        task.cancelled() or task.exception()  # it was looked at


async def delivered(ours, peer, size, seconds):
    """All that our end sends arrives in that time; it is told so, and closes."""
    loop = asyncio.get_running_loop()
    start, got = loop.time(), 0
    try:
        while got < size:
            left = start + seconds - loop.time()
            message = await unless_bad(ours, peer.message(left))
            pattern = bytes(range(251)) * (len(message) // 251 + 2)
            assert message == pattern[got % 251 :][: len(message)], "other bytes than were sent"
            got += len(message)
    except AssertionError as error:
        partly = got + len(peer.buffer)
        raise AssertionError(
            f"{error}, {loop.time() - start:.0f} s after the start, {partly} of {size} bytes"
            f" delivered, {peer.pings} pings answered"
        ) from None
    took = loop.time() - start
    assert got == size, f"{got} bytes, not {size}"
    await peer.send(TEXT, f"got {got}".encode())
    await ours.says(f"answered got {size}", END_SECONDS)
    await ours.ends_cleanly()
    assert peer.closed == 1000, f"the peer saw Close {peer.closed}"
    sent = ours.said("sent")[0][0] - ours.opened
    return f"{size} bytes in {took:.0f} s, all sent at {sent:.0f} s, {peer.pings} pings"


async def echoed(ours, peer, text, seconds=END_SECONDS):
    await peer.send(TEXT, text)
    echo = await unless_bad(ours, peer.message(seconds))
    assert echo == text, f"echo {echo[:40]!r} of {text!r}"


async def pinged(ours, peer):
    try:
        await unless_bad(ours, asyncio.wait_for(peer.pinged.wait(), PING_SECONDS + SLACK))
    except asyncio.TimeoutError:
        raise AssertionError(f"no ping within {PING_SECONDS + SLACK} s") from None


async def closed_by(ours, peers):
    for peer in peers:
        await peer.send(CLOSE, NORMAL)
    await ours.ends_cleanly(len(peers))
    await asyncio.wait({peer.over for peer in peers}, timeout=END_SECONDS)
    codes = {peer.closed for peer in peers}
    assert codes == {1000}, f"the peers saw Close {codes}"


# ---- the scenarios

LINK_RATE, LINK_QUEUE = "400kbit", "256kb"
LINK_BYTES = 8_000_000
LINK_SECONDS = 230  # 160 for the bytes, 7 for heads of packets, the rest for those sent twice


async def slow_link(end, role):
    link = network.Link(LINK_RATE, LINK_QUEUE)
    work = f"send:{LINK_BYTES}:{LINK_BYTES}"
    async with joined(end, role, work, link=link) as (ours, [peer], _):
        return await delivered(ours, peer, LINK_BYTES, LINK_SECONDS)


async def slow_link_back(end, role):
    """The peer sends; its pong waits behind that."""
    link = network.Link(LINK_RATE, LINK_QUEUE)
    async with joined(end, role, "take", link=link) as (ours, [peer], _):
        start = asyncio.get_running_loop().time()
        await unless_bad(ours, peer.send(BINARY, bytes(LINK_BYTES)))
        answer = await unless_bad(ours, peer.message(LINK_SECONDS))
        assert answer == f"got {LINK_BYTES}".encode(), answer
        took = asyncio.get_running_loop().time() - start
        await closed_by(ours, [peer])
        return f"{LINK_BYTES} bytes in {took:.0f} s, {peer.pings} pings"


CONSUMER_BYTES = 16 << 20  # more than the buffers of both sockets hold
CONSUMER_PACE = 8_000
CONSUMER_SECONDS = 105


async def slow_consumer(end, role, piece):
    work = f"send:{CONSUMER_BYTES}:{piece}"
    async with joined(end, role, work, pace=CONSUMER_PACE) as (ours, [peer], _):
        await unless_bad(ours, asyncio.sleep(CONSUMER_SECONDS))
        peer.pace = None
        result = await delivered(ours, peer, CONSUMER_BYTES, 60)
        return f"{CONSUMER_SECONDS} s at {CONSUMER_PACE} bytes per second, then {result}"


FROZEN_CONNECTIONS = 10  # in each role
FROZEN_SECONDS = 31


async def freeze(end, role):
    async with joined(end, role, "echo", FROZEN_CONNECTIONS) as (ours, peers, _):
        for peer in peers:
            peer.answers = False
        for peer in peers:
            await pinged(ours, peer)
        ours.signal("SIGSTOP")
        for peer in peers:
            await peer.answer_kept()
            peer.answers = True
        await asyncio.sleep(FROZEN_SECONDS)
        ours.signal("SIGCONT")
        await unless_bad(ours, asyncio.sleep(1))
        for peer in peers:
            await echoed(ours, peer, b"still there?")
        await closed_by(ours, peers)
        return f"{len(peers)} connections lived"


CHATTY_SECONDS = 65


async def never_a_pong(end, role):
    async with joined(end, role, "echo") as (ours, [peer], _):
        peer.answers = False
        await pinged(ours, peer)
        for second in range(CHATTY_SECONDS):
            try:
                await echoed(ours, peer, f"second {second}".encode())
                await unless_bad(ours, asyncio.sleep(1))
            except AssertionError as error:
                raise AssertionError(f"{error}, {second} s after the ping") from None
        await closed_by(ours, [peer])
        return f"lived for {CHATTY_SECONDS} s after the ping"


async def dead_while_idle(end, role, work, on_link):
    """The link is down, or there is none and a relay takes what comes and passes nothing on."""
    link, relay = (network.Link(), None) if on_link else (None, {})
    async with joined(end, role, work, link=link, relay=relay) as (ours, [peer], relays):
        for _ in range(5):
            await unless_bad(ours, asyncio.sleep(1))
            for _ in peer.taken():
                await peer.send(TEXT, b"and?")
        return await given_up(ours, link, relays, DEAD_SECONDS)


async def dead_while_frozen(end, role):
    async with joined(end, role, "echo", relay={}) as (ours, [peer], [relay]):
        peer.answers = False
        await pinged(ours, peer)
        relay.cut()
        ours.signal("SIGSTOP")
        await asyncio.sleep(FROZEN_SECONDS)
        ours.signal("SIGCONT")
        return await given_up(ours, None, [], 20, at_least=0)


async def given_up(ours, link, relays, seconds, at_least=20):
    """The peer is dead from now on: within that time it is known."""
    start = asyncio.get_running_loop().time()
    if link:
        link.cut()
    for relay in relays:
        relay.cut()
    time, match = await ours.says("failed (.*)", seconds + SLACK, bad=True)
    took = time - start
    assert match[1] == "Timeout(Pong)", f"our end failed with {match[1]}, after {took:.1f} s"
    assert took >= at_least, f"given up already after {took:.1f} s"
    return f"given up after {took:.1f} s, of at most {seconds:.0f}"


FAST_LINK, FAST_RATE = "16mbit", 2_000_000  # the same
FAST_SECONDS = 6


async def dead_while_sending(end, role, work, on_link):
    link = network.Link(FAST_LINK, LINK_QUEUE) if on_link else None
    relay = None if on_link else {"rate": FAST_RATE}
    async with joined(end, role, work, link=link, relay=relay) as (ours, [peer], relays):
        rates = []
        for _ in range(FAST_SECONDS):
            rates.append(sum(map(len, peer.taken())))
            await unless_bad(ours, asyncio.sleep(1))
        # But for what came while we were not looking yet.
        rate = sum(rates[1:]) / len(rates[1:])
        # What the documentation of `Keepalive` says of a peer that is sent so much per second.
        longer = 150 + (32 << 20) / rate
        result = await given_up(ours, link, relays, DEAD_SECONDS + longer)
        return f"{result}, at {rate / 1e6:.1f} MB/s"


SHAPED_RATE = 150_000
SHAPED_BYTES = 8 << 20


async def shaped(end, role):
    work = f"send:{SHAPED_BYTES}:{SHAPED_BYTES}"
    relay = {"rate": SHAPED_RATE}
    async with joined(end, role, work, relay=relay) as (ours, [peer], _):
        return await delivered(ours, peer, SHAPED_BYTES, 200)


LOSSY = {"delay": 0.3, "stall": 3.0}


async def lossy(end, role):
    size = 2 << 20
    relay = {"rate": 64_000, "stalls": 70, **LOSSY}
    async with joined(end, role, f"send:{size}:16384", relay=relay) as (ours, [peer], [relay]):
        result = await delivered(ours, peer, size, 170)
        return f"{result}, {relay.stalled} stalls"


async def lossy_and_idle(end, role):
    """Scaled down, for more pings in the time: the path takes 0.6 s, or 3.6 s, or rarely 6.6 s."""
    relay = {"stalls": 20, **LOSSY}
    settings = ("interval=1", "timeout=8")
    async with joined(end, role, "echo", relay=relay, settings=settings) as (ours, [peer], [relay]):
        await unless_bad(ours, asyncio.sleep(100))
        await echoed(ours, peer, b"still there?")
        await closed_by(ours, [peer])
        return f"lived, {peer.pings} pings, {relay.stalled} stalls"


def checks(permitted):
    """All of one run: name, whether it may be done here, and what to call."""
    found = []

    def add(name, run, *arguments, link=False):
        found.append((name, permitted or not link, lambda: run(*arguments)))

    for i, end in enumerate(ENDS):
        named = " ".join(end)
        for role in ROLES:
            does = "uploads" if role == "client" else "pushes"
            add(f"slow link: {named} {role} {does}", slow_link, end, role, link=True)
            add(f"slow link: {named} {role} takes", slow_link_back, end, role, link=True)
            piece = CONSUMER_BYTES if role == "client" else 65536
            add(f"slow consumer: {named} {role}", slow_consumer, end, role, piece)
            add(f"freeze: {named} {role}", freeze, end, role)
            add(f"never a pong: {named} {role}", never_a_pong, end, role)
            add(f"150 kB/s: {named} {role} {does}", shaped, end, role)
            add(f"delay and loss: {named} {role} {does}", lossy, end, role)
            add(f"delay and loss: {named} {role}, idle", lossy_and_idle, end, role)
        # The way that a path dies does not know the role: each has every other one.
        kinds = [
            ("idle", dead_while_idle, "echo"),
            ("ticking", dead_while_idle, "tick:100:1000"),
            ("sending", dead_while_sending, "send:1000000000:65536"),
        ]
        for j, (state, run, work) in enumerate(kinds):
            role, other = ROLES if (i + j) % 2 else ROLES[::-1]
            name = f"dead, link down: {named} {role}, {state}"
            add(name, run, end, role, work, True, link=True)
            name = f"dead, nothing passes: {named} {other}, {state}"
            add(name, run, end, other, work, False)
        add(f"dead, and we frozen: {named} {role}", dead_while_frozen, end, role)
    return found
