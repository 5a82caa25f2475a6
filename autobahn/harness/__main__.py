"""Runs the Autobahn WebSocket test suite against every adapter of this crate.

Nothing has to be installed or started before: this makes the suite's environment, builds the
testees, plays suite and testee against each other, and judges the reports. The exit status is 0
only if every case that was asked for was reported, with both verdicts as they should be; it is 1
if not, and 2 if the suite could not be run.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path

import cases
import result
from play import Run, play_all
from process import ROOT, Failure, Process, locked, output_of, say
from suites import HOME, prepare_suite

# Each run, named mode of the testee / adapter, and the example that is its testee, with the
# arguments that let it agree to every window that the suite asks for.
DEFLATE = ("--deflate", "--window-bits", "15")
TESTEES = {
    "server/tokio": ("echo_server", *DEFLATE),
    "server/blocking": ("echo_server_blocking", *DEFLATE),
    "client/tokio": ("autobahn_client_tokio",),
    "client/blocking": ("autobahn_client_blocking",),
}
FEATURES = "deflate,tokio"

# Seconds.
BUILD_LIMIT = 30 * 60
QUICK_LIMIT = 20 * 60  # for each process of the suite
FULL_LIMIT = 60 * 60  # the same with --full


async def build(examples):
    """Builds the examples; returns their executables by name."""
    # With a lock file, what is tested is what that file says, or nothing.
    lock = ["--locked"] if (ROOT / "Cargo.lock").exists() else []
    command = ["cargo", "build", "--release", *lock, "--features", FEATURES]
    command += ["--message-format", "json-render-diagnostics"]
    command += [word for example in examples for word in ("--example", example)]
    executables = {}

    def artifact(line):
        with contextlib.suppress(ValueError, KeyError):
            message = json.loads(line)
            executables[message["target"]["name"]] = message["executable"]

    say(f"building {', '.join(examples)}")
    try:
        async with Process(command, on_line=artifact, stderr=None) as cargo:
            if not await cargo.ends(BUILD_LIMIT):
                raise Failure(f"cargo took longer than {BUILD_LIMIT} s")
            if cargo.status != 0:
                raise Failure(f"cargo ended with {cargo.fate()}")
    except FileNotFoundError:
        raise Failure("cargo is not on the path") from None
    return executables


async def crate_version():
    text = await output_of("cargo", "metadata", "--no-deps", "--format-version", "1")
    manifest = str(ROOT / "Cargo.toml")
    packages = json.loads(text or "{}").get("packages", [])
    names = [f"{p['name']} {p['version']}" for p in packages if p["manifest_path"] == manifest]
    commit = await output_of("git", "describe", "--always", "--dirty")
    return " ".join(names or ["?"]) + (f" at {commit}" if commit else "")


async def run(options):
    async with locked(options.out / ".lock", 0, "is writing to"):
        suite = await prepare_suite(options.suite)
        examples = [TESTEES[name][0] for name in options.only if name not in options.testee]
        built = await build(examples) if examples else {}
        crate = await crate_version()
        for name, testee in options.testee.items():
            say(f"{name}: NOT this crate but {shlex.join(testee)}")
        say(f"{suite.version} against {crate}: {len(options.cases)} cases in each run")
        runs = []
        for name in options.only:
            example, *arguments = TESTEES[name]
            testee = options.testee.get(name) or [built[example], *arguments]
            runs.append(Run(name, testee, options.cases, options.out))
        await play_all(runs, suite, FULL_LIMIT if options.full else QUICK_LIMIT, options.jobs)
        paragraphs, passed = result.show(runs, suite, options.cases, options.out)
        if options.save:
            result.save(paragraphs, options.command, suite, crate)
        return 0 if passed else 1


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="autobahn/run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def option(*names, **details):
        parser.add_argument(*names, **details)

    option("--full", action="store_true", help="all 517 cases, not the quick set")
    option("--cases", action="append", metavar="PATTERN",
           help="only these cases, such as '7.*' or 6.4.3 (repeatable)")
    option("--only", action="append", metavar="RUN", choices=TESTEES,
           help=f"only this run, of {', '.join(TESTEES)} (repeatable)")
    option("--out", default=HOME / "reports", metavar="DIR",
           help="where the reports go (default: target/autobahn/reports)")
    option("--save", action="store_true", help="write the table to autobahn/RESULTS.md too")
    option("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
           help="processes of the suite at a time (default: one per core)")
    option("--suite", choices=("auto", "wstest", "kosoku"), default="auto",
           help="default: wstest or, where there is no Python 2.7, kosoku")
    option("--testee", action="append", default=[], metavar="RUN=COMMAND",
           help="let a run test another program (repeatable)")
    options = parser.parse_args(arguments)

    if options.full and options.cases:
        parser.error("--full and --cases exclude each other")
    if options.save and options.testee:
        parser.error("--save is for results of this crate, not of another --testee")
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    pairs = [argument.partition("=") for argument in options.testee]
    if unknown := [name for name, _, _ in pairs if name not in TESTEES]:
        parser.error(f"--testee: no such run: {', '.join(unknown)}")

    # For the saved results, so without the paths of this machine.
    words = ["--full"] if options.full else []
    for name in ("cases", "only"):
        words += [word for value in getattr(options, name) or () for word in (f"--{name}", value)]
    words += ["--suite", options.suite] if options.suite != "auto" else []
    options.command = shlex.join(["autobahn/run", *words, "--save"])
    if options.cases:
        options.cases = cases.matching(options.cases) or parser.error("--cases matches no case")
    else:
        options.cases = cases.ALL if options.full else cases.QUICK
    options.only = [name for name in TESTEES if name in (options.only or TESTEES)]
    options.out = Path(options.out).absolute()
    options.testee = {name: shlex.split(command) for name, _, command in pairs}
    return options


async def supervised(options):
    """Runs, and makes of each way to be interrupted an orderly end of all processes."""
    task, received = asyncio.current_task(), []

    def interrupt(number):
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        return await run(options)
    except Failure as failure:
        print(f"autobahn/run: {failure}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        print("autobahn/run: interrupted", file=sys.stderr)
        return 128 + received[0]


if __name__ == "__main__":
    sys.exit(asyncio.run(supervised(parse_arguments(sys.argv[1:]))))
