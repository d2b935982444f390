"""The process that parsing children are forked from: everything imported and compiled, nothing ever parsed.

It has one thread, so the parent-death signal of its children (which follows the *thread* that forked them)
means its own end; it ends when the service's end of the control socket closes. Requests come over that
socket, each with the socket to answer on: the child writes its answer there, the zygote the child's exit
status after it. When the other end of an answer closes early, nobody waits any more, and the child is killed.
"""

import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from service.formats import child, readers

PACKET = 1 << 16


class Zygote:
    """The loop over requests, exits and hang-ups."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Fork a child a request until the control socket closes."""
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._woken in ready:
                self._woken.recv(PACKET)
                self._reap()
            for pid, reply in list(self._children.items()):
                if reply in ready:
                    os.kill(pid, signal.SIGKILL)
                    self._selector.unregister(reply)
            if self._control in ready and not self._accept():
                return

    def _accept(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 1)
        if not request:
            return False
        reply = socket.socket(fileno=descriptors[0])
        if pid := os.fork():
            self._children[pid] = reply
            self._selector.register(reply, selectors.EVENT_READ)
        else:
            self._become_child(request, reply)
        return True

    def _become_child(self, request: bytes, reply: socket.socket) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (self._control, self._wake, self._woken, *self._children.values()):
            other.close()
        self._selector.close()
        child.run(json.loads(request), reply, os.getppid())

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._report(self._children.pop(pid), status)

    def _report(self, reply: socket.socket, status: int) -> None:
        with reply:
            if reply in {key.fileobj for key in self._selector.get_map().values()}:
                self._selector.unregister(reply)
            try:
                reply.sendall(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
            except (BrokenPipeError, ConnectionResetError):
                # the client went away: there is no one to tell
                return


def main() -> None:
    """Serve on the control socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="newtond-") as directory:
        readers.warm(Path(directory))
    Zygote(control).serve()


if __name__ == "__main__":
    main()
