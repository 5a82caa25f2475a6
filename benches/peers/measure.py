"""Runs the servers and codecs beside each other and prints the result as Markdown: see `run`.

Servers and parts take turns, round by round (A B C A B C), each sample on a fresh process; what
is printed is the median. Servers are ended by their process id.
"""

import argparse
import collections
import contextlib
import dataclasses
import datetime
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Peers that have written a message when their send returns.
STRICT = (
    "tokio-tungstenite", "fastwebsockets", "tokio-websockets", "yawc", "sockudo-ws", "soketto",
    "web-socket",
)
PARTS = ("codec", "deflate", "echo", "memory", "broadcast", "growth", "profile")
# callgrind counts `rep movsb` byte by byte: glibc is told not to use it.
NO_REP_MOVSB = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1073741824"}
TIMEOUT = 300  # seconds for one sample
DEFLATE_KINDS = ("fullduplex-deflate", "fullduplex-deflate-no-takeover")
BROADCAST_WAYS = (
    "fullduplex-broadcast", "fullduplex-prepared", "fullduplex-send", "tokio-tungstenite",
)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What the load does: `waves` times `in_flight` messages on each connection."""

    name: str
    connections: int
    size: int
    in_flight: int
    waves: int

    def load(self, waves, warmup=2):
        return {
            "--connections": self.connections,
            "--size": self.size,
            "--in-flight": self.in_flight,
            "--warmup": warmup,
            "--waves": waves,
        }

    def messages(self, waves):
        return self.connections * self.in_flight * waves


SCENARIOS = (
    Scenario("64 × 125 B, 1 in flight", 64, 125, 1, 1600),
    Scenario("64 × 125 B, 16 in flight", 64, 125, 16, 400),
    Scenario("16 × 16 KiB, 1 in flight", 16, 16 << 10, 1, 1000),
    Scenario("4 × 1 MiB, 1 in flight", 4, 1 << 20, 1, 100),
)
# Per scenario: waves for system calls, and how many more waves the longer run of callgrind has.
COUNTED = dict(zip(SCENARIOS, ((60, 60), (12, 12), (40, 30), (10, 6))))

# Figures that this run does not measure. uWebSockets is in no registry.
UWEBSOCKETS = {
    SCENARIOS[0]: "909 instructions",
    SCENARIOS[1]: "556 instructions",
    SCENARIOS[2]: "3,256 instructions",
    SCENARIOS[3]: "CPU 1.55 × the TCP echo",
}
CODEC_GOALS = {
    "decode 16 B": (20, 35),
    "decode 125 B": (25, 40),
    "decode 1 KiB": (50, 75),
    "decode 16 KiB": (450, 700),
    "decode 1 MiB in 64 KiB pieces": (None, 120_000),
    "decode text 1 KiB, ASCII": (80, 100),
    "decode text 1 KiB, multi-byte": (150, 170),
    "encode 125 B, server": (9, None),
    "encode 125 B, client": (20, None),
}
# (scenario, server, measure, goal)
ECHO_GOALS = (
    (SCENARIOS[0], "fullduplex", "instructions", 1200),
    (SCENARIOS[0], "fullduplex-send", "instructions", 1450),
    (SCENARIOS[1], "fullduplex", "instructions", 350),
    (SCENARIOS[1], "fullduplex-feed", "instructions", 480),
    (SCENARIOS[1], "fullduplex", "calls", 0.13),
    (SCENARIOS[1], "fullduplex-send", "calls", 1.1),
    (SCENARIOS[2], "fullduplex", "instructions", 3000),
    (SCENARIOS[2], "fullduplex", "calls", 2.1),
)
MEGABYTE_GOAL = 1.05  # of the TCP echo's CPU
MEMORY_GOAL = 1600  # bytes
UNITS = {"cpu": "µs CPU", "calls": "system calls", "instructions": "user instructions"}

NOTES = """\
- **ws-framer** is in the encode rows only: it moves what is behind a frame to the front of its
  buffer for each frame, so a 64 KiB batch is not its use; it has no server. As a client it takes
  each mask key from the operating system.
- **websocket-sans-io** and **yawc, codec only** decode frames and do not assemble messages. The
  first does not know texts and has no server; the second leaves their check to the caller, who
  uses yawc's own here. **soketto** and **web-socket** leave it to the caller too: `std` here.
- **sockudo-ws** takes a client's mask keys from `fastrand`, its default, which is not
  cryptographic (RFC 6455 §10.3 asks for keys that cannot be predicted). **fullduplex**,
  tungstenite, fastwebsockets, tokio-websockets, yawc, soketto and web-socket use the thread's
  cryptographic generator.
- **tungstenite, fastwebsockets, tokio-websockets, yawc, soketto, web-socket** have no way in from
  memory: they decode from a stream that lies in memory.
- **fastwebsockets, yawc, sockudo-ws, web-socket** are handed a stream on which this harness shook
  hands: the crates' own way is hyper or the caller's.
- `-batch` feeds messages and flushes when no other is ready. **tokio-websockets** has no such row
  because it writes what is queued before each read; **fastwebsockets, soketto** and **web-socket**
  have none because they cannot be asked whether another message is ready. `sockudo-ws-protocol` is
  its codec on the bare socket, without its closing handshake, pings and timers.
- **yawc** runs with UTF-8 checks on and with its limit raised for 1 MiB messages; `yawc-batch` has
  the buffers of its README and is left out of the memory table.
- **soketto**'s compression is not run: it has no takeover, makes a state for each message, and its
  feature would give yawc and sockudo-ws a zlib in C. No other peer compresses. Everywhere else the
  crates are built without compression.
- **uWebSockets** is quoted from a measurement on another machine (2.5 GHz Xeon), not run here.
"""


def main():
    arguments = parse_arguments()
    bench = Bench(arguments)
    report = Report(bench)
    for part in PARTS:
        if part in arguments.only:
            print(f"measuring: {part}", file=sys.stderr)
            getattr(report, part)()
    text = report.text()
    print(text)
    if arguments.save:
        (ROOT / "BENCHMARKS.md").write_text(text + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="run")
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="about five minutes")
    parser.add_argument("--save", action="store_true", help="write BENCHMARKS.md")
    parser.add_argument("--only", type=words, default=PARTS, help="parts: " + ",".join(PARTS))
    parser.add_argument("--servers", type=words, help="measure these servers only")
    return parser.parse_args()


def words(text):
    return text.split(",")


class Bench:
    """Takes single samples."""

    def __init__(self, arguments):
        self.quick = arguments.quick
        self.binaries = arguments.binaries
        self.rounds = 3 if self.quick else 9
        every = subprocess.check_output([self.binaries / "echo"], text=True).split()
        self.servers = arguments.servers or every
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.load_core = cores[-1], cores[0]

    @contextlib.contextmanager
    def server(self, name, wrapper=(), env=None, binary=("echo",), arguments=()):
        """A server on a core of its own; yields its process id and its port."""
        program, *mode = binary
        process = self.running = subprocess.Popen(
            [*wrapper, self.binaries / program, *mode, name, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | (env or {}),
            preexec_fn=lambda: os.sched_setaffinity(0, {self.server_core}),
        )
        try:
            port = process.stdout.readline()
            if not port:
                raise RuntimeError("the server does not start")
            yield process.pid, int(port)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def load(self, name, port, options):
        """A load that is connected and warm; yields a function that runs it to its end."""
        flags = [word for pair in options.items() for word in map(str, pair)]
        flags += ["--raw"] * (name == "tcp")
        process = subprocess.Popen(
            ["timeout", str(TIMEOUT), self.binaries / "load", str(port), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.load_core}),
        )

        def answer(word):
            line = process.stdout.readline().decode().split()
            if not line or line[0] != word:
                raise RuntimeError(f"{name}: {process.communicate()[1].decode().strip()}")
            return line

        def run():
            process.stdin.write(b"\n")
            process.stdin.flush()
            return answer("done")

        try:
            answer("ready")
            yield run
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()

    def cpu(self, name, scenario, waves=None):
        """Microseconds of the server's CPU per message, user and kernel."""
        waves = waves or max(2, scenario.waves // (2 if self.quick else 1))
        with self.server(name) as (pid, port):
            with self.load(name, port, scenario.load(waves, waves // 10 + 1)) as run:
                before = on_cpu(pid)
                run()
                return (on_cpu(pid) - before) / 1e3 / scenario.messages(waves)

    def calls(self, name, scenario):
        """System calls of the server per message."""
        waves = COUNTED[scenario][0]
        with self.server(name) as (pid, port), tempfile.NamedTemporaryFile("r") as counts:
            with self.load(name, port, scenario.load(waves)) as run:
                strace = subprocess.Popen(
                    ["strace", "-c", "-f", "-o", counts.name, "-p", str(pid)],
                    stderr=subprocess.PIPE,
                )
                strace.stderr.readline()  # "attached"
                run()
                strace.send_signal(signal.SIGINT)
                strace.communicate()
            listing = counts.read()
        total = re.search(r"^\s*100\.00\s+\S+\s+\S+\s+(\d+)\s.*total$", listing, re.M)
        if not total:
            raise RuntimeError("strace could not attach")
        return int(total[1]) / scenario.messages(waves)

    def callgrind(self, name, scenario, waves):
        """Instructions in user mode of a whole run, in all and by function."""
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            wrapper = (
                "valgrind",
                "--tool=callgrind",
                "--toggle-collect=echo::serve_all*",
                f"--callgrind-out-file={out}",
            )
            with self.server(name, wrapper, NO_REP_MOVSB) as (_, port):
                with self.load(name, port, scenario.load(waves, warmup=1)) as run:
                    run()
            total = int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M)[1])
            listing = subprocess.check_output(
                ["callgrind_annotate", "--auto=no", "--threshold=99.9", out], text=True
            )
        functions = collections.Counter()
        for count, function in re.findall(r"^ *([\d,]+) +\([ \d.]+%\) +\S*?:(.*)$", listing, re.M):
            functions[function.split(" [")[0]] += int(count.replace(",", ""))
        return total, functions

    def instructions(self, name, scenario):
        """User instructions per message, and by function: a longer run less a shorter one."""
        more = COUNTED[scenario][1] * (1 if self.quick else 3)
        short, short_functions = self.callgrind(name, scenario, 2)
        long, long_functions = self.callgrind(name, scenario, 2 + more)
        messages = scenario.messages(more)
        long_functions.subtract(short_functions)
        functions = {name: count / messages for name, count in long_functions.items()}
        return (long - short) / messages, functions

    def memory(self, name, connections):
        """Resident bytes per idle connection, after one echo on each."""
        options = {"--size": 125, "--warmup": 1}
        with self.server(name) as (pid, port):
            with self.load(name, port, options):
                pass
            before = resident(pid)
            with self.load(name, port, options | {"--connections": connections}):
                return (resident(pid) - before) / connections


    def process(self, *command, core):
        """A program that ends with its standard input, on a core of its own."""
        return subprocess.Popen(
            ["timeout", str(TIMEOUT), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )

    def memory_deflate(self, kind, connections):
        """As `memory`, of connections that compress."""
        idle = self.binaries / "idle"
        with self.server(kind, binary=("idle", "serve")) as (pid, port):
            sizes = []
            for count in (1, connections):
                before = resident(pid)
                clients = self.process(idle, "connect", port, count, core=self.load_core)
                try:
                    if clients.stdout.readline() != "ready\n":
                        raise RuntimeError("the clients have failed")
                    sizes.append((resident(pid) - before) / count)
                finally:
                    clients.communicate()
            return sizes[-1]

    def broadcast(self, way, connections, messages):
        """Microseconds of the server's CPU per receiver of 1 KiB, user and kernel."""
        binary = self.binaries / "broadcast"
        with self.server(way, binary=("broadcast", "serve"), arguments=(connections,)) as (pid, port):
            server = self.running
            clients = self.process(binary, "connect", port, connections, core=self.load_core)
            try:
                if server.stdout.readline() != b"ready\n":
                    raise RuntimeError("not all are connected")

                def send(count):
                    server.stdin.write(b"%d\n" % count)
                    server.stdin.flush()
                    if server.stdout.readline() != b"done\n":
                        raise RuntimeError("the server has failed")

                send(1)
                before = on_cpu(pid)
                send(messages)
                return (on_cpu(pid) - before) / 1e3 / (messages * connections)
            finally:
                clients.terminate()
                clients.wait()


def on_cpu(pid):
    """Nanoseconds that a process of one thread was on a CPU, in user mode and in the kernel."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Report:
    """Measures part by part and puts the tables together."""

    def __init__(self, bench):
        self.bench = bench
        self.values = collections.defaultdict(dict)  # of (scenario, server)
        self.sections = []
        self.goals = []  # (what, measured, goal)
        self.losses = None  # (ratio, sentence), once a peer was compared
        self.failures = []

    def attempt(self, name, what, measure, *arguments):
        """A sample, or nothing and a line on why not."""
        try:
            return measure(name, *arguments)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            line = f"- **{name}**, {what}: {error}"
            if line not in self.failures:
                self.failures.append(line)
            return None

    def rounds(self, points, measure, rounds):
        """Samples of each point, taken in turns, as a list for each."""
        samples = {point: [] for point in points}
        for _ in range(rounds):
            for point in points:
                value = measure(point)
                samples[point] += [value] * (value is not None)
        return samples

    def rivals(self, what, values):
        """Notes it where the best of the peers is ahead of the best of ours."""
        values = {name: value for name, value in values.items() if value}
        ours = {name: value for name, value in values.items() if is_ours(name)}
        peers = {name: values[name] for name in values.keys() - ours.keys() - {"tcp", "limit"}}
        if not ours or not peers:
            return
        mine, best = min(ours, key=ours.get), min(peers, key=peers.get)
        times = ours[mine] / peers[best]
        self.losses = self.losses or []
        if times > 1.02:
            sentence = f"{what}: {mine} {number(ours[mine])}, {best} {number(peers[best])}"
            self.losses.append((times, sentence))

    def goal(self, what, measured, goal):
        if measured is not None and goal is not None:
            self.goals.append((what, measured, goal))

    def codec(self):
        flags = ["--quick"] * self.bench.quick
        output = subprocess.check_output([self.bench.binaries / "codec", *flags], text=True)
        works = collections.defaultdict(dict)
        for line in output.splitlines():
            work, contender, time = line.split("\t")
            works[work][contender] = float(time)

        summary = Table("work", "limit", "ours", "best peer", "", "ours : limit", "ours : best")
        for work, times in works.items():
            peers = [name for name in times if not is_ours(name) and name != "limit"]
            best = min(peers, key=times.get)
            mine = min(time for name, time in times.items() if is_ours(name))
            summary.row(
                work, number(times["limit"]), number(mine), number(times[best]), best,
                ratio(mine, times["limit"]), ratio(mine, times[best]),
            )
            self.rivals(f"{work}, ns", times)
            for kind, goal in zip(("borrowed", "owned"), CODEC_GOALS[work]):
                self.goal(f"{work}, {kind}, ns", times.get(f"fullduplex, {kind}"), goal)

        full = Table("ns per message", *works)
        for name in dict.fromkeys(name for times in works.values() for name in times):
            full.row(name, *(number(times.get(name)) for times in works.values()))
        self.section("Codec, in memory", f"""\
ns per message. 64 KiB of frames are copied into the contender's buffer, as a read would, and
decoded; each message is dropped at once. The limit is that copy and one XOR pass over the same
bytes in the widest vectors of this machine, for text with simdutf8 on top; for encoding the copy,
and the XOR of a client. Encoders hand their output out every 512 messages.

{summary}

Everybody:

{full}""")

    def deflate(self):
        flags = ["--quick"] * self.bench.quick
        output = subprocess.check_output([self.bench.binaries / "deflate", *flags], text=True)
        works = collections.defaultdict(dict)
        for line in output.splitlines():
            work, contender, *measured = line.split("\t")
            works[work][contender] = [float(value) for value in measured]

        # Ours is first, and what the others are compared with.
        others = [name for name in next(iter(works.values())) if name != "fullduplex"]
        head = [cell for name in others for cell in (name, "× ours")]
        speeds = {way: Table(f"{way}, MB/s", "fullduplex", *head) for way in ("out", "in")}
        sizes = Table("compressed, % of plain", "fullduplex", *others)
        for work, values in works.items():
            way, what = work.split(" ", 1)
            ours, size = values["fullduplex"]
            cells = [what, number(ours)]
            for name in others:
                cells += [number(values[name][0]), ratio(values[name][0], ours)]
            speeds[way].row(*cells)
            if way == "out":
                sizes.row(what, *(number(values[n][1]) for n in ("fullduplex", *others)))
            # The less time the better, and only what has the same settings.
            times = {name: 1e3 / speed for name, (speed, _) in values.items() if "," not in name}
            self.rivals(f"deflate {work}, µs per KB", times)
        self.section("Compression, in memory", f"""\
MB of plain text per second of CPU; `× ours` above 1 is faster than we are. A server sends (out) or
receives (in) JSON-like texts, no two alike, one at a time: out from the text to the frame, in from
the frame in a buffer to the checked text. × 64: that many connections take turns, message by
message. With takeover each peer then keeps states of zlib for each connection, over 400 KiB; we
keep windows, 64 KiB, and lend four states out, so that with each message one has to be told a
window first: our worst case. All bytes are checked before they are timed.

All have 15 window bits and memory level 8, which peers cannot change. Our own default is 12 window
bits, memory level 5 and level 1; peers' default is level 6. What comes in was made by zlib-rs with
the same settings. The limit is zlib-rs alone, with a state for each connection where there is
takeover, without frames, masks, limits and checks of text. Everybody has zlib-rs inside.

{speeds["out"]}

{speeds["in"]}

{sizes}""")

    def echo(self):
        bench = self.bench
        pairs = [(scenario, name) for scenario in SCENARIOS for name in bench.servers]

        def cpu(pair):
            return self.attempt(pair[1], pair[0].name, bench.cpu, pair[0])

        for pair, samples in self.rounds(pairs, cpu, bench.rounds).items():
            if samples:
                self.values[pair] |= {"cpu": statistics.median(samples), "±": spread(samples)}
        for pair in pairs:
            self.count(*pair)
        tables = []
        for scenario in SCENARIOS:
            tables.append(f"### {scenario.name}\n\n{self.echo_table(scenario)}")
            self.judge(scenario)
        self.section("Echo servers on tokio", f"""\
Per message. CPU is the server's, user and kernel together, from the kernel's accounting
(`/proc/PID/schedstat`), median of {bench.rounds} interleaved rounds; ± is half the distance
between the extremes. System calls by `strace -c`. User instructions by callgrind as the difference
of two runs of different length; callgrind counts `rep movsb` byte by byte, so glibc is told not
to use it (`{'='.join(*NO_REP_MOVSB.items())}`).
Each connection keeps that many messages in flight and sends the next ones when all replies have
come, so with 16 in flight one read and one write per 16 messages (0.13 system calls) is the least.
`fullduplex` is `run`, `fullduplex-feed` is `recv` and `feed`, `fullduplex-send` is `recv` and
a strict `send`. `tcp` is the limit: it echoes bytes through one 64 KiB buffer.

""" + "\n\n".join(tables))

    def count(self, scenario, name):
        """System calls and instructions, as far as there are tools for that."""
        values = self.values[scenario, name]
        if shutil.which("strace"):
            values["calls"] = self.attempt(name, scenario.name, self.bench.calls, scenario)
        if shutil.which("valgrind"):
            counts = self.attempt(name, scenario.name, self.bench.instructions, scenario)
            if counts:
                values["instructions"], values["functions"] = counts

    def echo_table(self, scenario):
        table = Table(
            "server", "CPU, µs", "± %", "× ours", "× TCP echo",
            "system calls", "user instructions", "× ours",
        )
        ours, limit = (self.values[scenario, name] for name in ("fullduplex", "tcp"))
        for name in self.bench.servers:
            value = self.values[scenario, name]
            table.row(
                name, number(value.get("cpu")), number(value.get("±"), 0),
                ratio(value.get("cpu"), ours.get("cpu")),
                ratio(value.get("cpu"), limit.get("cpu")),
                number(value.get("calls"), 2), number(value.get("instructions"), 0),
                ratio(value.get("instructions"), ours.get("instructions")),
            )
        table.row("*uWebSockets, quoted*", *[""] * 5, UWEBSOCKETS[scenario], "")
        return table

    def judge(self, scenario):
        """Notes goals, and where a peer is ahead."""

        def of(name, measure="cpu"):
            return self.values[scenario, name].get(measure)

        for where, name, measure, goal in ECHO_GOALS:
            if where is scenario:
                self.goal(f"{where.name}, {name}, {UNITS[measure]}", of(name, measure), goal)
        strict = [of(name) for name in STRICT if of(name)]
        if scenario is SCENARIOS[1] and strict and of("fullduplex-send"):
            times = of("fullduplex-send") / min(strict)
            self.goal(f"{scenario.name}, fullduplex-send, CPU, × best strict peer", times, 1)
        if scenario is SCENARIOS[3] and of("tcp") and of("fullduplex"):
            times = of("fullduplex") / of("tcp")
            self.goal(f"{scenario.name}, fullduplex, CPU, × TCP echo", times, MEGABYTE_GOAL)
        for measure, unit in UNITS.items():
            values = {name: of(name, measure) for name in self.bench.servers}
            self.rivals(f"{scenario.name}, {unit}", values)

    def memory(self):
        bench = self.bench
        count, rounds = (2000, 1) if bench.quick else (10_000, 3)
        names = [name for name in bench.servers if name != "yawc-batch"]

        def measure(name):
            return self.attempt(name, f"{count:,} connections", bench.memory, count)

        def measure_deflate(kind):
            return self.attempt(kind, f"{count:,} connections", bench.memory_deflate, count)

        samples = self.rounds(names, measure, rounds)
        samples |= self.rounds(DEFLATE_KINDS, measure_deflate, rounds)
        sizes = {name: statistics.median(values) for name, values in samples.items() if values}
        table = Table("server", "bytes", "× ours")
        for name, size in sorted(sizes.items(), key=lambda item: item[1]):
            table.row(name, number(size, 0), ratio(size, sizes.get("fullduplex")))
        table.row("*uWebSockets, quoted*", "256", "")
        self.goal("resident bytes per idle connection", sizes.get("fullduplex"), MEMORY_GOAL)
        self.rivals("resident bytes per idle connection", sizes)
        self.section("Memory", f"""\
Resident bytes per idle connection, {count:,} connections, after one echo of 125 B each, default
settings: the growth of `VmRSS` over a server that had served one. The two with `deflate` in their
name have agreed on permessage-deflate and compressed and inflated 32 messages of 160 B on each; in
the one with takeover a connection then keeps two windows of 4 KiB. Of the others none compresses.

{table}""")

    def broadcast(self):
        bench = self.bench
        count, messages, rounds = (2000, 20, 3) if bench.quick else (10_000, 20, 5)

        def measure(way):
            return self.attempt(way, f"{count:,} receivers", bench.broadcast, count, messages)

        samples = self.rounds(BROADCAST_WAYS, measure, rounds)
        times = {way: statistics.median(values) for way, values in samples.items() if values}
        table = Table("way", "CPU, µs per receiver", "× ours")
        for way, time in sorted(times.items(), key=lambda item: item[1]):
            table.row(way, number(time), ratio(time, times.get(BROADCAST_WAYS[0])))
        self.section("Broadcast", f"""\
A message of 1 KiB to {count:,} receivers, on one thread; a system call for each is the most of it.
`broadcast` is a group that encodes once, `prepared` the same bytes in a loop, `send` a loop of sends
of a shared `Bytes`; tokio-tungstenite's is a loop of sends over its split sinks.

{table}""")

    def growth(self):
        quick = self.bench.quick
        connections = (1, 10, 100, 1000) if quick else (1, 10, 100, 1000, 10_000)
        sizes = [16 << shift for shift in range(0, 21, 4 if quick else 2)]
        flights = (1, 2, 4, 8, 16, 32, 64)
        messages, volume = (30_000, 1 << 29) if quick else (100_000, 1 << 31)

        def medians(arguments):
            def measure(point):
                count, size, in_flight = point
                waves = max(2, min(messages, volume // size) // (count * in_flight))
                scenario = Scenario("growth", *point, waves)
                what = f"{count} × {human(size)} × {in_flight}"
                return self.attempt("fullduplex", what, self.bench.cpu, scenario, waves)

            samples = self.rounds(arguments, measure, self.bench.rounds).values()
            return [statistics.median(values) if values else None for values in samples]

        def table(what, labels, times):
            table = Table(what, *labels)
            table.row("CPU, µs", *map(number, times))
            return table

        by_count = medians([(count, 125, 1) for count in connections])
        by_size = medians([(4, size, 1) for size in sizes])
        by_flight = medians([(16, 125, in_flight) for in_flight in flights])
        payloads = table("size", map(human, sizes), by_size)
        per_byte = [time and time * 1e3 / size for time, size in zip(by_size, sizes)]
        payloads.row("ns per byte", *map(number, per_byte))
        self.section("Growth", f"""\
`fullduplex` (`run`): server CPU per message as one thing grows.

125 B, 1 in flight:

{table("connections", connections, by_count)}

4 connections, 1 in flight:

{payloads}

16 connections, 125 B:

{table("in flight", flights, by_flight)}""")

    def profile(self):
        texts = []
        for scenario in SCENARIOS[:3]:
            values = self.values[scenario, "fullduplex"]
            if "functions" not in values:
                self.count(scenario, "fullduplex")
            table = Table("instructions per message", "function")
            functions = values.get("functions", {}).items()
            for name, count in sorted(functions, key=lambda item: -item[1])[:20]:
                table.row(number(count), f"`{name}`")
            texts.append(f"### {scenario.name}\n\n{table}")
        self.section("Profile", """\
Where `fullduplex` spends its user instructions, each function by itself and what is inlined in it.

""" + "\n\n".join(texts))

    def section(self, title, text):
        self.sections.append(f"## {title}\n\n{text}")

    def text(self):
        parts = [self.head()]
        if self.goals:
            table = Table("goal", "measured", "wanted", "")
            for what, measured, goal in self.goals:
                verdict = "met" if measured <= goal else f"missed by {measured / goal - 1:.0%}"
                table.row(what, number(measured), f"≤ {goal:,}", verdict)
            text = (
                "Those in ns were set on a 2.5 GHz Xeon and do not travel. Why others are missed, "
                "and what was\ntried: DESIGN.md, Speed."
            )
            parts.append(f"## Goals\n\n{text}\n\n{table}")
        if self.losses is not None:
            losses = sorted(self.losses, reverse=True)
            parts.append("""\
## Where we lose

Our best way against the best peer's, where theirs is ahead by more than 2 %.

""" + ("\n".join(f"- {times:.2f} × {text}" for times, text in losses) or "Nowhere."))
        parts += self.sections
        parts.append("## Notes on the peers\n\n" + NOTES + "\n".join(self.failures))
        return "\n\n".join(part.strip() for part in parts)

    def head(self):
        cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        rustc = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
        # The manifest names the peers first and then what the harness needs.
        manifest = (HERE / "Cargo.toml").read_text().split("# What the harness")[0]
        peers = re.findall(r"^([\w-]+) = {? ?\S", manifest, re.M)
        lock = re.findall(r'name = "(.*)"\nversion = "(.*)"', (HERE / "Cargo.lock").read_text())
        named = (*peers, "tokio", "zlib-rs")
        versions = [f"{name} {version}" for name, version in lock if name in named]
        quick = " --quick" * self.bench.quick
        return f"""\
# Benchmarks

`benches/peers/run{quick}` on {datetime.date.today()}. Ratios travel between machines, absolute
times do not.

- {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}
- rustc {rustc}, release profile with `lto = "fat"` and one codegen unit, no `target-cpu`; one
  process and one thread per server, the server on one core and the load on another
- {', '.join(versions)}"""


class Table:
    def __init__(self, *head):
        self.rows = [list(map(str, head)), ["---"] + ["---:"] * (len(head) - 1)]

    def row(self, *cells):
        self.rows.append(["" if cell is None else str(cell) for cell in cells])

    def __str__(self):
        return "\n".join("| " + " | ".join(cells) + " |" for cells in self.rows)


def number(value, digits=None):
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def is_ours(name):
    return name.startswith("fullduplex")


def ratio(value, base):
    return f"{value / base:.2f}" if value and base else "–"


def spread(samples):
    """Half the distance between the extremes, in per cent of the median."""
    return (max(samples) - min(samples)) * 50 / statistics.median(samples)


def human(size):
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


if __name__ == "__main__":
    main()
