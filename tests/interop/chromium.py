"""Chromium, as a browser has it: what it offers, and our servers with every window it can be told.

A page, `chromium.html`, drives it. It is served here, over loopback, and asks for jobs and posts what
came of them. Chromium has a folder of its own for that, and is ended with the block.
"""

import json
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
from base64 import b64decode, b64encode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

from compression import JOB_SECONDS, SETS, messages, our_settings, parsed
from judge import Program, expect, judged, report, serving

HERE = Path(__file__).parent
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 60
# Our adapters share what compresses and what negotiates: they take turns.
ADAPTERS = ["tokio", "blocking"]
# How the windows of our servers show in their answer, by default.
DEFAULT = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"


def against_chromium(examples):
    try:
        with page_server() as (url, page), chromium(url):
            if not page.loaded.wait(START_SECONDS):
                raise AssertionError(f"no page in {START_SECONDS} s")
            offers(examples, page)
            defaults(examples, page)
            windows(examples / "interop_echo", page)
    except Exception as error:
        report("FAIL", "chromium: starts and takes jobs", f"{error}" or type(error).__name__)


class Page:
    """What the page is told, and tells."""

    def __init__(self):
        self.jobs, self.results = queue.Queue(), queue.Queue()
        self.loaded, self.gone = threading.Event(), False
        sent = chain.from_iterable(messages().values())
        self.messages = [
            {"text": message["text"], "payload": b64encode(whole(message)).decode()}
            for message in sent
        ]

    def does(self, url):
        if self.gone:
            raise AssertionError("the page is gone")
        self.jobs.put({"url": url})
        try:
            return self.results.get(timeout=2 * JOB_SECONDS)
        except queue.Empty:
            self.gone = True
            raise AssertionError(f"the page says nothing in {2 * JOB_SECONDS} s") from None


def whole(message):
    return b"".join(b64decode(part) for part in message["parts"])


def offers(examples, page):
    """B1: what our client offers by default is what Chromium does, byte for byte."""
    with judged("client, chromium: the same offer, byte for byte"):
        theirs = captured(page.does)
        client = [examples / "interop_echo", "tokio"]
        ours = captured(
            lambda url: subprocess.run([*client, url], capture_output=True, timeout=JOB_SECONDS)
        )
        expect(ours, theirs, "our offer")
        expect(theirs, "permessage-deflate; client_max_window_bits", "Chromium's offer")


def captured(connect):
    """The extensions in the request that `connect` makes to a server that hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heads = queue.Queue()

        def hang_up():
            stream, _ = listener.accept()
            with stream:
                head = b""
                while b"\r\n\r\n" not in head and (more := stream.recv(4096)):
                    head += more
            heads.put(head.decode())

        thread = threading.Thread(target=hang_up)
        thread.start()
        connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    lines = heads.get().split("\r\n")
    offered = [line for line in lines if line.lower().startswith("sec-websocket-extensions:")]
    expect(len(offered), 1, "lines that offer extensions")
    return offered[0].partition(":")[2].strip()


def defaults(examples, page):
    """The example servers as they are."""
    for program, options, answer in [
        ("echo_server", ["--deflate"], DEFAULT),
        ("echo_server_blocking", ["--deflate"], DEFAULT),
        ("echo_server", [], ""),
    ]:
        name = f"{' '.join([program, *options])}, chromium: {len(page.messages)} messages"
        with (
            judged(name),
            serving(examples / program, "--addr", "127.0.0.1:0", *options) as (url, _),
        ):
            judge(page, page.does(url), answer)


def windows(program, page):
    """Every window of ours and of Chromium's, with takeover or not, each way."""
    for at, params in enumerate(SETS):
        adapter = ADAPTERS[at % len(ADAPTERS)]
        with (
            judged(f"deflate, our server ({adapter}), chromium, {params}"),
            Program(program, adapter, "server", *our_settings(params, "server")) as ours,
        ):
            result = page.does(ours.url())
            status = ours.status()
            expect((status, ours.said()), (0, ""), "our exit status, and stderr")
            judge(page, result, None)
            expect(parsed(result["extensions"]), params, "the response")
            agreed = ours.next_line().removeprefix("agreed on ")
            expect(parsed(agreed), params, "what we take to be agreed on")


def judge(page, result, answer):
    expect(result.get("error"), None, "error")
    expect(result["echoed"], len(page.messages), "messages that came back")
    expect((result["closed"], result["clean"]), (1000, True), "the end")
    if answer is not None:
        expect(result["extensions"], answer, "the response")


@contextmanager
def page_server():
    page = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            match self.path:
                case "/":
                    self.answer((HERE / "chromium.html").read_bytes(), "text/html")
                case "/messages":
                    page.loaded.set()
                    self.answer(json.dumps(page.messages).encode())
                case _:
                    self.send_error(404)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/job":
                return self.answer(json.dumps(page.jobs.get()).encode())
            page.results.put(json.loads(body))
            self.answer(b"null")

        def answer(self, body, kind="application/json"):
            with suppress(ConnectionError):  # the page waits for a job when it is ended
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", page
        finally:
            page.jobs.put(None)
            server.shutdown()
            thread.join()


@contextmanager
def chromium(url):
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile("w+") as said,
    ):
        process = subprocess.Popen(
            [*CHROMIUM, f"--user-data-dir={folder}", url],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield
        except AssertionError as error:
            said.seek(0)
            lines = re.sub(r"\s+", " ", said.read())
            raise AssertionError(f"{error}; it says {lines!r:.500}") from None
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
