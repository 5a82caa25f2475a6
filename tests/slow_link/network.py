"""Two network namespaces of our own, and as many links between them as are wanted.

They have no names: they, the links and the queues in them are gone with the last process that is
in them, however it ends. This process is in `home`, and so is what it starts; `away` is where
sockets of peers are made.
"""

import ctypes
import os
import socket
import subprocess
import sys
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
LOCAL = "127.0.0.1"
MEMORY = {  # Linux's own defaults, whatever this machine has
    "tcp_wmem": "4096 16384 4194304",
    "tcp_rmem": "4096 131072 6291456",
}
COMMAND_SECONDS = 20

libc = ctypes.CDLL(None, use_errno=True)
home = away = None
links = 0


def prepare():
    """Moves this process to a namespace of its own; says what does not permit it, if so."""
    global home, away
    if sys.platform != "linux":
        return "this is not Linux"
    back = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        checked(libc.unshare(CLONE_NEWNET))
        away = os.open("/proc/self/ns/net", os.O_RDONLY)
        settled()
        checked(libc.unshare(CLONE_NEWNET))
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        settled()
        Link(rate="400kbit", queue="256kb")
    except (OSError, subprocess.SubprocessError) as error:
        home = away = None
        libc.setns(back, CLONE_NEWNET)
        return getattr(error, "stderr", "").strip() or str(error)
    return None


def settled():
    command("ip", "link", "set", "lo", "up")
    for name, value in MEMORY.items():
        with open(f"/proc/sys/net/ipv4/{name}", "w") as setting:
            setting.write(value)


class Link:
    """A pair of interfaces with an address each; if there is a rate, both ends keep to it."""

    def __init__(self, rate=None, queue=None):
        global links
        links += 1
        name, number = f"link{links}", 4 * links
        self.name = name
        self.home, self.away = (
            f"10.77.{number >> 8}.{(number & 255) + last}" for last in (1, 2)
        )
        # The other namespace is named by the file that we hold open.
        other = f"/proc/{os.getpid()}/fd/{away}"
        self._set_up(
            self.home, rate, queue, f"link add {name} type veth peer name {name} netns {other}\n"
        )
        with inside(away):
            self._set_up(self.away, rate, queue)

    def _set_up(self, address, rate, queue, first=""):
        command("ip", "-batch", "-", given=f"{first}address add {address}/30 dev {self.name}\n"
                                           f"link set {self.name} up\n")
        if rate:
            bucket = ("tbf", "rate", rate, "burst", "32kb", "limit", queue)
            command("tc", "qdisc", "add", "dev", self.name, "root", *bucket)

    def cut(self):
        """Takes it down at the far end: nothing that we send arrives, and no one tells us."""
        with inside(away):
            command("ip", "link", "set", self.name, "down")


def listener(link=None):
    """A listening socket of the peer, and the address that our end dials."""
    with inside(away if link else home):
        listening = socket.create_server((link.away if link else LOCAL, 0), backlog=256)
    listening.setblocking(False)
    return listening, "{}:{}".format(*listening.getsockname())


def dialler(link=None):
    """A socket with which the peer is to dial our end."""
    with inside(away if link else home):
        dialling = socket.socket()
    dialling.setblocking(False)
    return dialling


@contextmanager
def inside(namespace):
    """What is opened in the block is opened in that namespace, and stays there."""
    if namespace is None:
        yield
        return
    checked(libc.setns(namespace, CLONE_NEWNET))
    try:
        yield
    finally:
        checked(libc.setns(home, CLONE_NEWNET))


def command(*words, given=""):
    subprocess.run(
        words,
        check=True,
        input=given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=COMMAND_SECONDS,
    )


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
