"""What all checks share: programs that end with their block, verdicts, a tally."""

import queue
import re
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from itertools import chain

STEP_SECONDS = 10

tally = {"ok": 0, "FAIL": 0}
reporting = threading.Lock()


class Program:
    """A process whose lines can be waited for, up to a bound; ended with the block."""

    def __init__(self, *command):
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True
        )
        # A thread reads, so that waiting for a line can be bounded and the pipe never fills up.
        self.lines = queue.Queue()
        stdout = chain(self.process.stdout, [""])
        self.reader = threading.Thread(target=lambda: [*map(self.lines.put, stdout)])
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.stderr.close()

    def next_line(self, seconds=STEP_SECONDS):
        try:
            return self.lines.get(timeout=seconds).strip()
        except queue.Empty:
            raise AssertionError(f"no line printed in {seconds} s") from None

    def status(self, seconds=STEP_SECONDS):
        """Its exit status; `None` if it still runs after that time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def tell(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def url(self):
        ready = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+)", first := self.next_line())
        if not ready:
            raise AssertionError(f"first line {first!r}, stderr {self.said()!r}")
        return ready[1]


@contextmanager
def serving(*command):
    """Runs a server; gives its URL and a function for the next line it prints."""
    with Program(*command) as program:
        yield program.url(), program.next_line
        expect(program.process.poll(), None, "exit status of the server")
        program.process.kill()
        program.process.wait()
        expect(said if "panicked" in (said := program.said()) else "", "", "stderr")


@contextmanager
def judged(name):
    """Reports the block as one check, which fails if anything in it does."""
    try:
        yield
    except Exception as error:
        report("FAIL", name, f"{error}" or type(error).__name__)
    else:
        report("ok", name)


def report(verdict, name, problem="", count=1):
    with reporting:
        tally[verdict] += count
        print(f"{verdict:4} {name}" + f": {problem}" * bool(problem), flush=True)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r:.200}, not {wanted!r:.60}")
