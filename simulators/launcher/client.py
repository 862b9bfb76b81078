"""`python -I -S client.py SOCKET PROGRAM [ARGUMENT …]`: asks the launcher for a program and stands in for it.

Standard library only, and of it only what is written in C: this is what each call of a simulated `tsh` costs,
and `os`, `signal` and `socket` would double it. The fork gets this process's standard streams, environment and working
directory; SIGTERM, SIGINT and SIGHUP are passed on; when this process is killed, the launcher kills the fork.

Exit status: the fork's own; 128 plus the signal that ended it; 125 when the launcher could not be asked.
"""

import _signal  # type: ignore[import-not-found]  # part of CPython, without a stub
import _socket
import posix
import sys

FAILED = 125
PASSED_ON = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
STREAMS = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
"""Standard input, output and error, as the kernel takes a list of file descriptors."""


def main(arguments: list[str]) -> int:
    """Has the launcher run a program; returns its exit status.

    Args:
        arguments: Socket of the launcher, name of the program, its arguments.
    """
    connection = _socket.socket(_socket.AF_UNIX)
    environment = [name + b"=" + value for name, value in posix.environ.items()]
    # As file names are decoded and encoded, which is how arguments come and what the launcher expects.
    encoding = sys.getfilesystemencoding()
    counted = (str(len(arguments) - 1), *arguments[1:])
    words = [word.encode(encoding, "surrogateescape") for word in counted]
    body = b"\0".join([posix.getcwdb(), *words, *environment])
    pending: list[int] = []
    for number in PASSED_ON:
        _signal.signal(number, lambda received, _: pending.append(received))
    try:
        connection.connect(arguments[0])
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, STREAMS)
        connection.sendmsg([len(body).to_bytes(4, "big")], [rights])
        connection.sendall(body)
        pid = int(line(connection) or "0")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no program from the launcher at {arguments[0]}: {error}\n")
        return FAILED
    if pid == 0:
        sys.stderr.write(f"the launcher at {arguments[0]} started nothing\n")
        return FAILED

    def pass_on(received: int, _: object) -> None:
        try:
            posix.kill(pid, received)
        except ProcessLookupError:
            pending.append(received)  # it has ended: its status is on the way

    for number in PASSED_ON:
        _signal.signal(number, pass_on)
    for received in pending[:]:
        pass_on(received, None)
    status = int(line(connection) or FAILED)
    return status if status >= 0 else 128 - status


def line(connection: _socket.socket) -> bytes:
    """The next line of the launcher's answer; empty when it closed the connection."""
    text = b""
    while not text.endswith(b"\n") and (part := connection.recv(1)):
        text += part
    return text


if __name__ == "__main__":
    # Nothing is buffered here: the fork writes to the streams itself.
    posix._exit(main(sys.argv[1:]))  # noqa: SLF001  # its public name is in os
