"""`slow_link.py PROGRAM [OPTION…]`: the scenarios, all at once, a line for each check."""

import argparse
import asyncio
import fnmatch
import signal
import sys
import time

import network
import scenarios
from end import End

CHECK_SECONDS = 320  # a bound for what hangs; each check has nearer ones of its own


async def run(options):
    tally = {"ok": 0, "FAIL": 0, "skipped": 0}

    def report(verdict, name, text):
        tally[verdict] += 1
        print(f"{verdict:4} {name}: {text}", flush=True)

    async def check(name, body):
        start = time.monotonic()
        try:
            text = await asyncio.wait_for(body(), CHECK_SECONDS)
        except Exception as error:
            seconds = time.monotonic() - start
            report("FAIL", name, f"{error or type(error).__name__} ({seconds:.0f} s)")
        else:
            report("ok", name, text)

    scenarios.opening = asyncio.Semaphore(scenarios.OPENING)
    start = time.monotonic()
    for number in range(1, options.times + 1):
        if options.times > 1:
            print(f"\n--- {number} of {options.times}", flush=True)
        chosen = [c for c in scenarios.checks(not options.refused)
                  if fnmatch.fnmatch(c[0], options.only)]
        tally["skipped"] += sum(not permitted for _, permitted, _ in chosen)
        await asyncio.gather(*(check(name, body) for name, permitted, body in chosen if permitted))
        if tally["FAIL"]:
            break
    skipped = f", {tally['skipped']} skipped: not permitted" if tally["skipped"] else ""
    print(f"\n{tally['ok']} passed, {tally['FAIL']} failed{skipped}, "
          f"{time.monotonic() - start:.0f} s")
    return tally["FAIL"] != 0 or not tally["ok"]


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
    except asyncio.CancelledError:
        print("tests/slow_link/run: interrupted", file=sys.stderr)
        return 128 + received[0]


def main():
    parser = argparse.ArgumentParser(prog="tests/slow_link/run")
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, metavar="N",
                        help="so many runs, one after the other, up to one that fails")
    parser.add_argument("--only", default="*", metavar="PATTERN",
                        help="only checks of such names, as 'freeze*' or '*tokio*'")
    options = parser.parse_args()
    End.program = options.program
    options.refused = network.prepare()
    if options.refused:
        print(f"slow links: skipped: not permitted ({options.refused})", flush=True)
    sys.exit(asyncio.run(supervised(options)))


main()
