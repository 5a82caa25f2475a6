"""Which cases there are, and which verdicts are expected of them."""

import fnmatch

# Whether the crate implements permessage-deflate. This one line decides whether the deflate
# cases are a part of the quick set and whether UNIMPLEMENTED is a failure for them.
DEFLATE = True

# Cases per group; within a group they are numbered from 1. Written down here, and not asked of
# the suite, so that a suite which plays fewer cases than it should cannot pass.
CORE_GROUPS = {
    "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20,
    "6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4,
    "6.10": 3, "6.11": 5, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5,
    "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8, "6.22": 34, "6.23": 7,
    "7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2,
    "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1,
}
DEFLATE_GROUPS = {f"12.{n}": 18 for n in range(1, 6)} | {f"13.{n}": 18 for n in range(1, 8)}

# Of the deflate cases these take 2 minutes in all groups together, the rest nearly half an hour.
QUICK_DEFLATE_INDEXES = (1, 2, 3, 4, 5, 11)

# The suite hard-wires these to INFORMATIONAL in both columns, whatever the testee does.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}


def numbered(groups):
    return [f"{group}.{n}" for group, size in groups.items() for n in range(1, size + 1)]


CORE = numbered(CORE_GROUPS)
ALL = CORE + numbered(DEFLATE_GROUPS)
QUICK_DEFLATE = [f"{group}.{n}" for group in DEFLATE_GROUPS for n in QUICK_DEFLATE_INDEXES]
QUICK = CORE + QUICK_DEFLATE if DEFLATE else CORE
assert (len(CORE), len(ALL)) == (301, 517)


def matching(patterns):
    return [case for case in ALL if any(fnmatch.fnmatch(case, p) for p in patterns)]


def is_deflate(case):
    return case.startswith(("12.", "13."))


def shard_of(case):
    """The core is played in one go, each deflate group for itself."""
    return case.rpartition(".")[0] if is_deflate(case) else "core"


def as_expected(case, behavior, close):
    """Whether these are the two verdicts that a faultless testee gets."""
    if case in INFORMATIONAL:
        return behavior == close == "INFORMATIONAL"
    if behavior == "UNIMPLEMENTED" and is_deflate(case) and not DEFLATE:
        return close == "OK"
    return behavior == close == "OK"
