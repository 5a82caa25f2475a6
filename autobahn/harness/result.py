"""Judges the reports; shows and saves the result."""

import datetime
from collections import Counter
from dataclasses import dataclass

from cases import DEFLATE, as_expected, is_deflate
from process import ROOT, say, shown

FILE = ROOT / "autobahn" / "RESULTS.md"

COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED", "UNIMPLEMENTED")
HEAD = ("run", "cases", *COLUMNS, "missing", "unclean close", "time", "verdict")


@dataclass
class Fault:
    text: str
    report: object  # the file or directory that says more


def judge(run):
    """The run's row of the table, and its faults."""
    counts, missing, unclean, faults = Counter(), 0, 0, []
    for shard in run.shards:
        place = f"{run.name} {shard.directory.name}"
        faults += [Fault(f"{place}: {problem}", shard.directory) for problem in shard.problems]
        lost = [case for case in shard.cases if case not in shard.index]
        missing += len(lost)
        if lost:
            faults.append(Fault(f"{place}: missing {abbreviated(lost)}", shard.directory))
        for case in sorted(shard.index.keys() - shard.cases):
            faults.append(Fault(f"{place}: reported unasked: {case}", shard.directory))
        for case in shard.cases:
            if entry := shard.index.get(case):
                behavior, close = entry["behavior"], entry["behaviorClose"]
                # kosoku knows an ERROR, too: no better than FAILED.
                counts[behavior if behavior in COLUMNS else "FAILED"] += 1
                unclean += close not in ("OK", "INFORMATIONAL")
                if not as_expected(case, behavior, close):
                    report = shard.directory / entry["reportfile"]
                    faults.append(Fault(f"{run.name} {case}: {behavior}, close {close}", report))
    total = sum(len(shard.cases) for shard in run.shards)
    seconds = f"{run.end - run.begin:.0f} s"
    numbers = [total, *(counts[column] for column in COLUMNS), missing, unclean]
    return [run.name, *numbers, seconds, "FAIL" if faults else "pass"], faults


def abbreviated(cases, most=6):
    rest = f" and {len(cases) - most} more" if len(cases) > most else ""
    return ", ".join(cases[:most]) + rest


def table(rows):
    rows = [[str(cell) for cell in row] for row in (HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["| " + " | ".join(map(str.rjust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)


def remarks(suite, cases):
    if suite.name == "kosoku":
        yield (
            f"**Played by kosoku, not wstest: {suite.reason}.** "
            "It has Autobahn's own case files but is not the reference."
        )
    deflate = sum(map(is_deflate, cases))
    if deflate and not DEFLATE:
        yield (
            f"UNIMPLEMENTED is right for {deflate} cases: the crate has no permessage-deflate yet."
        )


def show(runs, suite, cases, out):
    """Prints the table and all faults; returns them as Markdown, and whether there are none."""
    rows, faults = [], []
    for run in runs:
        row, found = judge(run)
        rows.append(row)
        faults += found
    paragraphs = [table(rows), *remarks(suite, cases)]
    say("\n" + "\n\n".join(paragraphs) + "\n")
    for fault in faults:
        say(f"{fault.text}   ({shown(fault.report, out)})")
    verdict = f"NOT PASSED (faults: {len(faults)})" if faults else "passed"
    say(f"{verdict}; the reports are in {shown(out)}")
    if faults:
        paragraphs.append("\n".join(f"- {fault.text}" for fault in faults))
    return paragraphs, not faults


def save(paragraphs, command, suite, crate):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    head = [
        "# Autobahn results",
        "Written by `autobahn/run --save`; README.md says how to read the table.",
        f"- Date: {today}\n- Command: `{command}`\n- Suite: {suite.version}\n- Crate: {crate}",
    ]
    text = "\n\n".join(head + paragraphs) + "\n"
    FILE.write_text(text.replace(f"{ROOT}/", ""))
    say(f"saved to {shown(FILE)}")
