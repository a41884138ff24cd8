"""Objects between a worker and its parent."""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
import time
from typing import Any, NamedTuple

_MAPPED_BYTES = 1 << 16
"""From here on a mapping costs less than two copies through the socket."""

_CLOSED = "the other side closed the connection"


class Reply(NamedTuple):
    """What a worker answers: a value, or an error and its traceback."""

    value: Any
    error: BaseException | None = None
    traceback: str = ""


class Channel:
    """Objects over a local socket, each as a pickle followed by its buffers.

    Pickle protocol 5 keeps arrays out of the pickle (PEP 574). Large buffers travel as an
    anonymous file that the other side maps: three megabytes of pixels through the socket
    cost its reader 5 ms, mapped they cost nothing until they are looked at. Arrays arrive
    writable; what is written stays with the writer.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Any, timeout_s: float | None = None) -> None:
        """Send one object; TimeoutError when the other side does not read it."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
        self._socket.settimeout(timeout_s)
        self._socket.sendall(struct.pack(f"<Q{len(parts)}Q", len(parts), *map(len, parts)))
        for part in parts:
            if len(part) < _MAPPED_BYTES:
                self._socket.sendall(part)
            else:
                self._send_mapped(part)

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next object; EOFError when the other side is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        (num_parts,) = struct.unpack("<Q", self._read(8, deadline))
        sizes = struct.unpack(f"<{num_parts}Q", self._read(8 * num_parts, deadline))
        pickled, *buffers = [
            self._read(size, deadline) if size < _MAPPED_BYTES else self._receive_mapped(size, deadline)
            for size in sizes
        ]
        return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - the peer is our own process

    def _send_mapped(self, part: memoryview) -> None:
        fd = os.memfd_create("pagemill")
        try:
            with open(fd, "wb", buffering=0, closefd=False) as file:
                written = 0
                while written < len(part):  # one write takes 2 GiB at most
                    written += file.write(part[written:]) or 0
            socket.send_fds(self._socket, [b"\0"], [fd])
        finally:
            os.close(fd)

    def _receive_mapped(self, size_bytes: int, deadline: float | None) -> mmap.mmap:
        self._wait_until(deadline)
        received, fds, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not received:
            raise EOFError(_CLOSED)
        try:
            return mmap.mmap(fds[0], size_bytes, flags=mmap.MAP_PRIVATE)
        finally:
            os.close(fds[0])

    def _read(self, size_bytes: int, deadline: float | None) -> bytearray:
        data = bytearray(size_bytes)
        rest = memoryview(data)
        while rest:
            self._wait_until(deadline)
            received = self._socket.recv_into(rest)
            if received == 0:
                raise EOFError(_CLOSED)
            rest = rest[received:]
        return data

    def _wait_until(self, deadline: float | None) -> None:
        self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
