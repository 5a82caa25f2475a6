"""The programs that play the cases: wstest, the reference, and kosoku, the way out."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
from pathlib import Path

from process import ROOT, Failure, Process, locked, output_of, say, shown

HOME = ROOT / "target" / "autobahn"
# Seconds.
INSTALL_LIMIT = 15 * 60
CONCLUSION_LIMIT = 30


class Suite:
    """A program that plays the cases, in an environment of its own under `target/`.

    A subclass says: `package`, what is installed; `python`, what it needs to run, in words and,
    as `fit`, in an expression; `variable` and `interpreters`, how such a Python may be found;
    `home`, where the environment is made.

    It has the commands `client` and `server`, which play a shard against a testee in the other
    role, and `conclude`, which has such a process report what it knows, and end.
    """

    # Exit statuses that mean nothing. The reports alone say how it went: wstest ends with 0
    # even if nothing listens.
    statuses = (0,)
    # Whether the fuzzing server ends when a client has had its reports written.
    ends_itself = False

    async def find_python(self):
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        given = os.environ.get(self.variable)
        candidates = [given] if given else []
        candidates += filter(None, map(shutil.which, self.interpreters))
        candidates += [path for name in self.interpreters for path in pyenv.glob(f"*/bin/{name}")]
        probe = f"import sys; print(sys.executable if {self.fit} else '')"
        for candidate in candidates:
            # Tried and not only looked at: pyenv puts names on the path that do not run.
            if path := await output_of(candidate, "-c", probe):
                return path
            if candidate == given:
                raise Failure(f"{self.variable}={given} is no {self.python}")
        return None

    async def prepare(self, python):
        """Makes the environment unless a whole one is there; sets `version`."""
        ready = self.home / ".ready"
        # Written last and compared: the remains of an interrupted run or another pin do not do.
        recipe = f"{self.package}\n{python}\n"
        async with locked(HOME / "env.lock", INSTALL_LIMIT, "is installing into"):
            with contextlib.suppress(OSError):
                if ready.read_text() == recipe:
                    self.version = await self.find_version()
                    if self.version:
                        return
            say(f"installing {self.package} into {shown(self.home)} (once, about a minute)")
            shutil.rmtree(self.home, ignore_errors=True)
            await self.install(python)
            self.version = await self.find_version()
            if not self.version:
                raise Failure(f"{self.package} was installed but does not start")
            ready.write_text(recipe)

    async def step(self, *command, **env):
        log = HOME / "install.log"
        async with Process(command, log, env=env) as process:
            if not await process.ends(INSTALL_LIMIT):
                raise Failure(f"took longer than {INSTALL_LIMIT} s: {shlex.join(process.command)}")
            if process.status != 0:
                end = "\n  ".join(log.read_text(errors="replace").splitlines()[-8:])
                raise Failure(f"failed: {shlex.join(process.command)}\n  {end}")


class Wstest(Suite):
    name = "wstest"
    package = "autobahntestsuite==25.10.1"
    python = "Python 2.7 with pip"
    fit = "sys.version_info[:2] == (2, 7) and __import__('pip')"
    variable = "PYTHON27"
    interpreters = ("python2.7", "python2")
    home = HOME / "env"

    # wstest with two faults mended: it listens on every interface, and what it found is lost if
    # it is ended early. (It must be imported before the reactor, since it chooses one.)
    PROGRAM = """
import signal
from autobahntestsuite import fuzzing, wstest
from twisted.internet import reactor

listen = reactor.listenTCP
reactor.listenTCP = lambda port, factory, *_: listen(port, factory, interface='127.0.0.1')

init = fuzzing.FuzzingFactory.__init__
def init_and_obey(factory, outdir):
    init(factory, outdir)
    def report_and_end():
        factory.createReports()
        reactor.stop()
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(report_and_end))
fuzzing.FuzzingFactory.__init__ = init_and_obey

wstest.run()
"""

    async def install(self, python):
        # Nothing new appears for Python 2.7 any more: two pins pin all that they need, too.
        tools = HOME / "env-tools"
        shutil.rmtree(tools, ignore_errors=True)
        pip = ("-m", "pip", "install", "--disable-pip-version-check")
        await self.step(python, *pip, "--target", tools, "virtualenv==20.15.1")
        virtualenv = ("-m", "virtualenv", "--no-download", "--app-data", tools / "data")
        await self.step(python, *virtualenv, self.home, PYTHONPATH=str(tools))
        await self.step(self.home / "bin" / "python", *pip, self.package)
        shutil.rmtree(tools)

    async def find_version(self):
        text = await output_of(self.home / "bin" / "python", "-c", self.PROGRAM, "-a")
        match = re.search(r"AutobahnTestSuite (\S+)", text or "")
        return match and f"wstest of AutobahnTestSuite {match[1]}"

    def command(self, shard, mode, **spec):
        spec.update(outdir=str(shard.directory), cases=shard.cases)
        spec.update({"exclude-cases": [], "exclude-agent-cases": {}})
        file = shard.directory / f"{mode}.json"
        file.write_text(json.dumps(spec, indent=2))
        # "-u 0": no web server beside it.
        return [self.home / "bin" / "python", "-c", self.PROGRAM, "-u", 0, "-m", mode, "-s", file]

    def client(self, shard, url):
        return self.command(shard, "fuzzingclient", servers=[{"agent": shard.agent, "url": url}])

    def server(self, shard, port):
        return self.command(shard, "fuzzingserver", url=f"ws://127.0.0.1:{port}")

    async def conclude(self, process):
        process.child.send_signal(signal.SIGUSR1)  # see PROGRAM
        await process.ends(CONCLUSION_LIMIT)


class Kosoku(Suite):
    name = "kosoku"
    package = "kosoku==0.1.0"
    python = "Python 3.10 or later with venv"
    fit = "sys.version_info >= (3, 10) and __import__('ensurepip')"
    variable = "PYTHON310"
    interpreters = tuple(f"python3{minor}" for minor in ("", ".13", ".12", ".11", ".10"))
    home = HOME / "env-kosoku"
    statuses = (0, 1)
    ends_itself = True

    async def install(self, python):
        await self.step(python, "-m", "venv", self.home)
        pip = ("-m", "pip", "install", "--disable-pip-version-check")
        await self.step(self.home / "bin" / "python", *pip, self.package)

    async def find_version(self):
        probe = "import kosoku, importlib.metadata as m; print(m.version('kosoku'))"
        version = await output_of(self.home / "bin" / "python", "-c", probe)
        return version and f"kosoku {version}, in place of wstest"

    def command(self, shard, mode, *more):
        include = [word for case in shard.cases for word in ("-i", case)]
        return [self.home / "bin" / "kosoku", "-m", mode, "-o", shard.directory, *include, *more]

    def client(self, shard, url):
        return self.command(shard, "fuzzingclient", "-p", 4, url)

    def server(self, shard, port):
        return self.command(shard, "fuzzingserver", f"127.0.0.1:{port}")

    async def conclude(self, process):
        await process.ends(CONCLUSION_LIMIT)  # there is no way to make it


async def prepare_suite(choice):
    """Makes ready the suite of that name or, for "auto", the better of those that can run."""
    wstest, kosoku = Wstest(), Kosoku()
    if choice != "kosoku":
        if python := await wstest.find_python():
            await wstest.prepare(python)
            return wstest
        if choice == "wstest":
            raise Failure(f"no {wstest.python} was found; name one in {wstest.variable}")
        say(f"WARNING: no {wstest.python} was found (name one in {wstest.variable}): falling back")
        say("to kosoku, which plays the same cases but is not the reference")
    kosoku.reason = "so it was asked for" if choice == "kosoku" else "no Python 2.7 was found"
    python = await kosoku.find_python()
    if not python:
        raise Failure(f"no {kosoku.python} was found; name one in {kosoku.variable}")
    await kosoku.prepare(python)
    return kosoku
