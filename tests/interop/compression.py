"""Compression against each peer: windows of 9 to 15 bits, takeover or not, each way, in both roles.

For each set of parameters the peer sends 1,000 messages and our program echoes them, so that both
compress. The peer compares what comes back and counts the bytes at its socket, which tell how large
a window is and whether it lasts from one message to the next.
"""

import base64
import json
import random
import string
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from judge import Program, report

HERE = Path(__file__).parent
PEERS = {
    "python websockets": [sys.executable, HERE / "deflate_peer.py"],
    "node ws": ["node", HERE / "deflate_peer.js"],
}
ROLES = ["server", "client"]
# Who asks for the parameters; the other end leaves all room. When we do, our compressor works as
# zlib does by itself, and messages below the threshold, which is 64 bytes then, are plain. With
# fragments, what we send of more than 700 bytes is in several, compressed and plain.
ASKING = {
    "the peer asks": ["threshold=0"],
    "the peer asks, fragments": ["threshold=0", "fragment=700"],
    "we ask": ["level=6", "memory_level=8"],
}
# Our adapters share what compresses and what negotiates: one of them will do for a part.
OURS = [
    ("tokio", "the peer asks"),
    ("tokio", "we ask"),
    ("blocking", "we ask"),
    ("blocking", "the peer asks, fragments"),
]


class Way(NamedTuple):
    """What holds for what one end sends."""

    bits: int
    takeover: bool


class Params(NamedTuple):
    server: Way
    client: Way

    def __str__(self):
        return ", ".join(
            f"{end} {way.bits} bits {'with' if way.takeover else 'without'} takeover"
            for end, way in self._asdict().items()
        )


BITS = range(9, 16)
WIDEST = Params(Way(BITS[-1], True), Way(BITS[-1], True))
# Where one end is limited to 9 bits, the other is to 15; 10 goes with 14, and so on: a mix-up shows.
SETS = [
    Params(Way(bits, server_takeover), Way(24 - bits, client_takeover))
    for bits, server_takeover, client_takeover in product(BITS, [True, False], [True, False])
]

JOB_SECONDS = 30

REPEATED, MIXED = "repeated texts", "all sorts"
FAR_WITHIN, FAR_BETWEEN = "far repetitions in a message", "far repetitions between messages"
COUNT = 1_000
FRAGMENTED = 20
# So many symbols come twice, at a distance that only a window of a certain size covers. Each has
# six bits: with that window there are 450 bytes fewer, or more than 200 if chance is against us.
FAR_SYMBOLS = 600
FAR_SAVES = 200


def against_peers(program):
    """`program` is our echo on one connection: `echo.rs`."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as both_cores:
        path = Path(folder) / "messages.json"
        path.write_text(json.dumps(messages()), encoding="utf-8")
        groups = product(PEERS, ROLES, OURS)
        list(both_cores.map(lambda group: check_group(program, path, *group), groups))


def check_group(program, path, peer_name, role, ours):
    adapter, asking = ours
    name = f"deflate, our {role} ({adapter}), {peer_name}, {asking}"
    checks, params, results = 0, None, {}

    def check(good, what):
        nonlocal checks
        checks += 1
        if not good:
            raise AssertionError(what)

    try:
        with Program(*PEERS[peer_name], path) as peer:
            for params in SETS:
                results[params] = exchange(peer, [program, adapter], role, asking, params, check)
        for end in ROLES:
            compare(results, end, "in" if end == role else "out", check)
    except Exception as error:
        where = f"{params}: " if params and params not in results else ""
        report("FAIL", name, where + (f"{error}" or type(error).__name__))
    else:
        report("ok", f"{name}: {len(SETS)} × {COUNT} messages, {checks} checks", count=checks)


def exchange(peer, program, role, asking, params, check):
    """All messages over one connection; gives the bytes by the name of the phase."""
    we_ask = asking == "we ask"
    deflate = {} if we_ask else asked_by_peer(params)
    settings = [*ASKING[asking], *our_settings(params if we_ask else WIDEST, role)]
    if role == "server":
        # What the client does not begin with, the server does not speak of.
        room = {"server_max_window_bits": 15} if we_ask else {}
        with Program(*program, "server", *settings) as ours:
            peer.tell(json.dumps({"url": ours.url(), "deflate": deflate | room}))
            return judge_exchange(peer, ours, params, check)
    peer.tell(json.dumps({"url": None, "deflate": deflate}))
    with Program(*program, peer.url(), *settings) as ours:
        return judge_exchange(peer, ours, params, check)


def judge_exchange(peer, ours, params, check):
    line = peer.next_line(JOB_SECONDS)
    result = json.loads(line) if line else {"error": f"the peer has ended, {peer.said()!r:.500}"}
    status = ours.status()
    we = f"we exit with {status}, {ours.said()!r:.300}"
    check("error" not in result, f"{result.get('error')}; {we}")
    check(status == 0 and ours.said() == "", we)
    check(result["closed"] == 1000, f"closed with {result['closed']}")
    check(parsed(result["agreed"]) == params, f"the response is {result['agreed']!r}")
    agreed = ours.next_line().removeprefix("agreed on ")
    check(parsed(agreed) == params, f"we take it that {agreed!r} was agreed on")
    check(result["pings"] == FRAGMENTED, f"{result['pings']} pings between fragments")
    phases = result["phases"]
    for way in ("out", "in"):
        payload, wire = phases[REPEATED]["payload"], phases[REPEATED][way]
        check(wire < 0.9 * payload, f"repeated texts of {payload} bytes went {way} as {wire}")
    return phases


def compare(results, end, way, check):
    """Compares the bytes that `end` sent, which went this `way`, for one set and its neighbours."""
    other = next(name for name in ROLES if name != end)
    for params, sent in results.items():
        own, theirs = getattr(params, end), getattr(params, other)
        if own.takeover:
            fresh = params._replace(**{end: own._replace(takeover=False)})
            wire, more = sent[REPEATED][way], results[fresh][REPEATED][way]
            check(2 * wire < more, f"{params}: {end} sent {wire} bytes, and {more} without")
        if own.bits < BITS[-1]:
            wider = Params(
                **{end: own._replace(bits=own.bits + 1)},
                **{other: theirs._replace(bits=theirs.bits - 1)},
            )
            for phase in (FAR_WITHIN, FAR_BETWEEN) if own.takeover else (FAR_WITHIN,):
                wire, fewer = sent[phase][way], results[wider][phase][way]
                check(
                    wire - fewer > FAR_SAVES,
                    f"{params}: {phase}: {end} sent {wire} bytes, and {fewer} with a bit more",
                )


def asked_by_peer(params):
    return {
        f"{end}_{name}": value
        for end, way in params._asdict().items()
        for name, value in (
            ("max_window_bits", way.bits),
            ("no_context_takeover", not way.takeover),
        )
    }


def our_settings(params, role):
    ways = {"send" if end == role else "receive": way for end, way in params._asdict().items()}
    for name, way in ways.items():
        yield f"{name}_window_bits={way.bits}"
        yield f"{name}_takeover={way.takeover}".lower()


def parsed(extension):
    """What a response says; `None` if it has anything but permessage-deflate."""
    name, *rest = extension.replace(" ", "").split(";")
    values = dict(param.partition("=")[::2] for param in rest)
    ways = [
        Way(
            int(values.pop(f"{end}_max_window_bits", 15)),
            values.pop(f"{end}_no_context_takeover", None) is None,
        )
        for end in Params._fields
    ]
    return Params(*ways) if name == "permessage-deflate" and not values else None


def messages():
    """All that is sent, by phase: the same in each run."""
    chance = random.Random(7692)

    def symbols(count):
        return "".join(chance.choices(string.ascii_letters + string.digits + "-_", k=count))

    def item(i):
        user = f'{{"id":"u{i % 17}","name":"user {i % 17}"}}'
        return f'{{"id":{i},"by":{user},"for":{user},"state":"open","was":"open"}}'

    def octets(below):
        return chance.randbytes(chance.randrange(below))

    def far(bits):
        # Out of reach with one bit less. zlib looks back by 262 bytes less than its window.
        twice, between = symbols(FAR_SYMBOLS), symbols((5 << bits >> 3) - FAR_SYMBOLS)
        return [twice, between, twice]

    words = ["κόσμε", "世界", "🦀", "né", "plain", "\0"]

    def phrase(most):
        return " ".join(chance.choices(words, k=chance.randint(1, most)))

    long = "".join(item(i) + symbols(50) for i in range(8_000))
    sizes = [125, 126, 65_535, 65_536, 100_000]
    mixed = [
        *[text(""), binary(b"")] * 20,
        *(text(symbols(chance.randrange(1, 10))) for _ in range(100)),
        *(binary(octets(10)) for _ in range(50)),
        *(binary(octets(2_000)) for _ in range(95)),
        *(binary(chance.randbytes(size)) for size in sizes),
        *(text(phrase(300)) for _ in range(65)),
        *(text(phrase(300), chance) for _ in range(FRAGMENTED // 2)),
        *(binary(octets(500) * 4, chance) for _ in range(FRAGMENTED // 2)),
        text("é" + long[: (1 << 20) - 2]),
    ]
    chance.shuffle(mixed)

    phases = {
        REPEATED: [text(item(i)) for i in range(600)],
        FAR_WITHIN: [text("".join(far(bits))) for bits in BITS[1:]],
        FAR_BETWEEN: [text(part) for bits in BITS[1:] for part in far(bits)],
        MIXED: mixed,
    }
    assert sum(map(len, phases.values())) == COUNT
    return phases


def text(payload, cuts=None):
    return message(True, payload.encode(), cuts)


def binary(payload, cuts=None):
    return message(False, payload, cuts)


def message(is_text, payload, cuts):
    """With a source of chance for `cuts` in fragments: within characters, and empty ones, too."""
    at = sorted(cuts.choices(range(len(payload) + 1), k=cuts.randint(1, 4))) if cuts else []
    parts = [payload[start:end] for start, end in pairwise([0, *at, len(payload)])]
    return {"text": is_text, "parts": [base64.b64encode(part).decode() for part in parts]}
