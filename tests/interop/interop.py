"""`interop.py EXAMPLES`: our servers and our client against each peer, a line for each check."""

import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = Path(sys.argv[1])
SERVERS = ["echo_server", "echo_server_blocking"]
PEERS = {
    "python websockets": [sys.executable, HERE / "peer.py"],
    "node ws": ["node", HERE / "peer.js"],
}
# What our client is to send and get back: an empty line among them, lines of one to four bytes a
# character, and lengths up to 96,000 bytes, so that each of the three length encodings occurs.
LINES = [
    line for i in range(25) for line in (f"line {i}", f"γραμμή {i}", f"第{i}行 🦀", "é" * 2_000 * i)
]

STEP_SECONDS = 10
PEER_SECONDS = 120  # for all checks of one peer, each of which it bounds by itself

tally = {"ok": 0, "FAIL": 0}


def main():
    for ours in SERVERS:
        for peer, command in PEERS.items():
            server_against(peer, command, ours)
    for peer, command in PEERS.items():
        client_against(peer, command)
    with judged("client, nothing listens: one line on stderr, exit 1"):
        client_fails(f"ws://127.0.0.1:{free_port()}")
    print(f"\n{tally['ok']} passed, {tally['FAIL']} failed")
    sys.exit(tally["FAIL"] != 0)


def server_against(peer, command, ours):
    bounded = ["timeout", "--foreground", f"{PEER_SECONDS}", *command, "client"]
    with (
        judged(f"{ours}, {peer}: starts, outlives all checks, does not panic"),
        serving(EXAMPLES / ours, "--addr", "127.0.0.1:0") as (url, _),
        subprocess.Popen([*bounded, url], stdout=subprocess.PIPE, text=True) as process,
    ):
        for line in process.stdout:
            verdict, _, rest = line.strip().partition(" ")
            name, _, problem = rest.partition(": ")
            report(verdict, f"{ours}, {peer}: {name}", problem)
        expect(process.wait(), 0, "exit status of the peer")


def client_against(peer, command):
    with judged(f"{peer}: serves"), serving(*command, "server") as (url, next_line):
        with judged(f"client, {peer}: {len(LINES)} lines come back, exit 0"):
            ended = client(url, LINES)
            expect(ended.stderr, "", "stderr")
            expect(ended.stdout.split("\n"), [*LINES, ""], "stdout")
            expect(ended.returncode, 0, "exit status")
        with judged(f"client, {peer}: the server saw a clean close"):
            expect(next_line(), "closed 1000", "its report")
        for path, what in {"/drop": "TCP ends", "/reset": "TCP is reset"}.items():
            with judged(f"client, {peer}: {what} with no Close: one line on stderr, exit 1"):
                client_fails(url + path)


def client_fails(url):
    ended = client(url, ["hello"])
    expect(ended.returncode, 1, "exit status")
    expect(ended.stdout, "", "stdout")
    expect(len(ended.stderr.splitlines()), 1, f"number of lines in stderr {ended.stderr!r}")


def client(url, lines):
    return subprocess.run(
        [EXAMPLES / "client", url],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        timeout=STEP_SECONDS,
    )


@contextmanager
def serving(*command):
    """Runs a server; gives its URL and a function for the next line it prints."""
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        # A thread reads, so that waiting for a line can be bounded and the pipe never fills up.
        lines = queue.Queue()
        reader = threading.Thread(target=lambda: [*map(lines.put, chain(process.stdout, [""]))])
        reader.start()

        def next_line():
            try:
                return lines.get(timeout=STEP_SECONDS).strip()
            except queue.Empty:
                raise AssertionError(f"no line printed in {STEP_SECONDS} s") from None

        def said():
            stderr.seek(0)
            return stderr.read()

        try:
            ready = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+)", first := next_line())
            if not ready:
                raise AssertionError(f"first line {first!r}, stderr {said()!r}")
            yield ready[1], next_line
            expect(process.poll(), None, "exit status of the server")
        finally:
            process.kill()
            reader.join()
        expect(said() if "panicked" in said() else "", "", "stderr")


@contextmanager
def judged(name):
    """Reports the block as one check, which fails if anything in it does."""
    try:
        yield
    except Exception as error:
        report("FAIL", name, f"{error}" or type(error).__name__)
    else:
        report("ok", name)


def report(verdict, name, problem=""):
    tally[verdict] += 1
    print(f"{verdict:4} {name}" + f": {problem}" * bool(problem), flush=True)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r:.200}, not {wanted!r:.60}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
main()
