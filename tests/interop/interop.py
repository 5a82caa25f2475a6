"""`interop.py EXAMPLES`: our servers and our client against each peer, a line for each check.

`compression` adds its own, with many to a line.
"""

import signal
import socket
import subprocess
import sys
from itertools import product
from pathlib import Path

import chromium
import compression
from judge import STEP_SECONDS, expect, judged, report, serving, tally

HERE = Path(__file__).parent
EXAMPLES = Path(sys.argv[1])
SERVERS = ["echo_server", "echo_server_blocking"]
OPTIONS = [[], ["--deflate"]]  # each peer compresses if we do
PEERS = {
    "python websockets": [sys.executable, HERE / "peer.py"],
    "node ws": ["node", HERE / "peer.js"],
}
# What our client is to send and get back: an empty line among them, lines of one to four bytes a
# character, and lengths up to 96,000 bytes, so that each of the three length encodings occurs.
LINES = [
    line for i in range(25) for line in (f"line {i}", f"γραμμή {i}", f"第{i}行 🦀", "é" * 2_000 * i)
]

PEER_SECONDS = 120  # for all checks of one peer, each of which it bounds by itself


def main():
    for ours, options, peer in product(SERVERS, OPTIONS, PEERS):
        server_against(peer, [ours, *options])
    for options, peer in product(OPTIONS, PEERS):
        client_against(peer, ["client", *options])
    with judged("client, nothing listens: one line on stderr, exit 1"):
        client_fails(["client"], f"ws://127.0.0.1:{free_port()}")
    compression.against_peers(EXAMPLES / "interop_echo")
    chromium.against_chromium(EXAMPLES)
    print(f"\n{tally['ok']} passed, {tally['FAIL']} failed")
    sys.exit(tally["FAIL"] != 0)


def server_against(peer, ours):
    program, *options = ours
    name = f"{' '.join(ours)}, {peer}"
    bounded = ["timeout", "--foreground", f"{PEER_SECONDS}", *PEERS[peer], "client"]
    with (
        judged(f"{name}: starts, outlives all checks, does not panic"),
        serving(EXAMPLES / program, "--addr", "127.0.0.1:0", *options) as (url, _),
        subprocess.Popen([*bounded, url], stdout=subprocess.PIPE, text=True) as process,
    ):
        for line in process.stdout:
            verdict, _, rest = line.strip().partition(" ")
            check, _, problem = rest.partition(": ")
            report(verdict, f"{name}: {check}", problem)
        expect(process.wait(), 0, "exit status of the peer")


def client_against(peer, ours):
    name = f"{' '.join(ours)}, {peer}"
    with judged(f"{name}: serves"), serving(*PEERS[peer], "server") as (url, next_line):
        with judged(f"{name}: {len(LINES)} lines come back, exit 0"):
            ended = client(ours, url, LINES)
            expect(ended.stderr, "", "stderr")
            expect(ended.stdout.split("\n"), [*LINES, ""], "stdout")
            expect(ended.returncode, 0, "exit status")
        with judged(f"{name}: the server saw a clean close"):
            expect(next_line(), "closed 1000", "its report")
        for path, what in {"/drop": "TCP ends", "/reset": "TCP is reset"}.items():
            with judged(f"{name}: {what} with no Close: one line on stderr, exit 1"):
                client_fails(ours, url + path)


def client_fails(ours, url):
    ended = client(ours, url, ["hello"])
    expect(ended.returncode, 1, "exit status")
    expect(ended.stdout, "", "stdout")
    expect(len(ended.stderr.splitlines()), 1, f"number of lines in stderr {ended.stderr!r}")


def client(ours, url, lines):
    program, *options = ours
    return subprocess.run(
        [EXAMPLES / program, *options, url],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        timeout=STEP_SECONDS,
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
main()
