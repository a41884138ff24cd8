"""Objects between a worker and its parent."""

from __future__ import annotations

import enum
import mmap
import os
import pickle
import socket
import struct
import time
from typing import Any, NamedTuple

from pipeline.workers.shared import Borrower, Lender

_MAPPED_BYTES = 1 << 16
"""From here on shared memory costs less than two copies through the socket."""

_CLOSED = "the other side closed the connection"

_HEADER = struct.Struct("<QII")
"""Bytes that follow, number of parts, number of slots given back."""
_PART = struct.Struct("<QHH")
"""Size, way, slot."""


class Reply(NamedTuple):
    """What a worker answers: a value, or an error and its traceback."""

    value: Any
    error: BaseException | None = None
    traceback: str = ""


class _Way(enum.IntEnum):
    """How a part of a message travels."""

    INLINE = 0
    SLOT = 1
    NEW_SLOT = 2
    """A slot whose descriptor follows."""
    ALONE = 3
    """In memory of its own, whose descriptor follows."""


class _Part(NamedTuple):
    size_bytes: int
    way: _Way
    slot: int = 0


class Channel:
    """Objects over a local socket, each as a pickle and its buffers.

    Pickle protocol 5 keeps arrays out of the pickle (PEP 574). Large buffers travel in shared
    memory: three megabytes of pixels through the socket cost its reader 5 ms, here they cost
    nothing until they are looked at. Arrays arrive writable, and belong to who received them.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.lender = Lender()
        """What is written to its memory is sent without a copy."""
        self._borrower = Borrower()

    def send(self, message: Any, timeout_s: float | None = None) -> None:
        """Send one object; TimeoutError when the other side does not read it."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        contents = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
        parts = [self._way_of(content) for content in contents]
        returned = self._borrower.take_unused()
        inline = [content for content, part in zip(contents, parts, strict=True) if part.way is _Way.INLINE]
        body = b"".join([*(_PART.pack(*part) for part in parts), struct.pack(f"<{len(returned)}H", *returned), *inline])
        self._socket.settimeout(timeout_s)
        self._socket.sendall(_HEADER.pack(len(body), len(parts), len(returned)) + body)
        for content, part in zip(contents, parts, strict=True):
            if part.way is _Way.NEW_SLOT:
                self._send_slot(part.slot)
            elif part.way is _Way.ALONE:
                self._send_alone(content)

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next object; EOFError when the other side is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        length, num_parts, num_returned = _HEADER.unpack(self._read(_HEADER.size, deadline))
        body = memoryview(self._read(length, deadline))
        end = num_parts * _PART.size
        parts = [_Part(size, _Way(way), slot) for size, way, slot in _PART.iter_unpack(body[:end])]
        returned = struct.unpack_from(f"<{num_returned}H", body, end)
        self.lender.returned(returned)
        rest = body[end + 2 * num_returned :]
        contents: list[Any] = []
        for part in parts:
            if part.way is _Way.INLINE:
                contents.append(rest[: part.size_bytes])
                rest = rest[part.size_bytes :]
            else:
                contents.append(self._receive_mapped(part, deadline))
        return pickle.loads(contents[0], buffers=contents[1:])  # noqa: S301 - the peer is our own process

    def _way_of(self, content: memoryview) -> _Part:
        """Return how to send a part; what goes into a slot then lies there."""
        if len(content) < _MAPPED_BYTES:
            return _Part(len(content), _Way.INLINE)
        slot = self.lender.lend(content)
        if slot is None:
            return _Part(len(content), _Way.ALONE)
        return _Part(len(content), _Way.SLOT if self.lender.is_known(slot) else _Way.NEW_SLOT, slot)

    def _send_slot(self, slot: int) -> None:
        with self.lender.introduced(slot) as fd:
            socket.send_fds(self._socket, [b"\0"], [fd])

    def _send_alone(self, content: memoryview) -> None:
        fd = os.memfd_create("pagemill")
        try:
            with open(fd, "wb", buffering=0, closefd=False) as file:
                written = 0
                while written < len(content):  # one write takes 2 GiB at most
                    written += file.write(content[written:]) or 0
            socket.send_fds(self._socket, [b"\0"], [fd])
        finally:
            os.close(fd)

    def _receive_mapped(self, part: _Part, deadline: float | None) -> Any:
        if part.way is _Way.SLOT:
            return self._borrower.view(part.slot, part.size_bytes)
        self._wait_until(deadline)
        received, fds, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not received:
            raise EOFError(_CLOSED)
        try:
            if part.way is _Way.ALONE:
                return mmap.mmap(fds[0], part.size_bytes, flags=mmap.MAP_PRIVATE)
            self._borrower.map(part.slot, fds[0])
            return self._borrower.view(part.slot, part.size_bytes)
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
