"""Memory that a process and its worker share, used again and again.

A new mapping of three megabytes costs a millisecond and more until all its pages are there,
a third of the time in which a page is drawn; memory that was used before costs nothing. So
each side of a channel keeps a few slots: it writes what it sends into one, the other side
reads it there, and gives the slot back when nothing refers to it any longer.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SLOTS = 8
"""Of one side; what is sent while all are in use travels in memory of its own. They count as address space."""
SLOT_STEP_BYTES = 4 << 20
"""Slots are multiples of this, so that pages of any usual size fit into any; untouched pages take no memory."""


@dataclass(frozen=True, slots=True)
class _Slot:
    number: int
    fd: int
    """Open until the other side has it, too."""
    memory: mmap.mmap
    address: int


class Lender:
    """The slots that this side writes. Used by one thread."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._known: set[int] = set()
        """Slots that the other side has mapped."""
        self._written: dict[int, weakref.ref[ctypes.Array[ctypes.c_char]]] = {}
        """What this side still refers to."""
        self._lent: set[int] = set()

    def memory(self, size_bytes: int) -> ctypes.Array[ctypes.c_char] | None:
        """Return memory of a free slot, its content undefined; None when none is free."""
        slot = next((slot for slot in self._slots if len(slot.memory) >= size_bytes and self._is_free(slot)), None)
        slot = slot or self._new_slot(size_bytes)
        if slot is None:
            return None
        memory = (ctypes.c_char * size_bytes).from_buffer(slot.memory)
        self._written[slot.number] = weakref.ref(memory)
        return memory

    def lend(self, part: memoryview) -> int | None:
        """Return the number of the slot in which `part` lies, where it is copied if need be; None: in none."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(part)) if not part.readonly else None
        slot = next((slot for slot in self._slots if slot.address == address), None)
        if slot is None:
            memory = self.memory(len(part))
            if memory is None:
                return None
            slot = next(slot for slot in self._slots if slot.address == ctypes.addressof(memory))
            slot.memory[: len(part)] = part
        self._lent.add(slot.number)
        return slot.number

    def is_known(self, number: int) -> bool:
        """Return whether the other side has mapped this slot."""
        return number in self._known

    @contextmanager
    def introduced(self, number: int) -> Iterator[int]:
        """Give the descriptor by which the other side maps a slot; it is closed when that has been sent."""
        yield self._slots[number].fd
        os.close(self._slots[number].fd)
        self._known.add(number)

    def returned(self, numbers: tuple[int, ...]) -> None:
        """The other side no longer reads these slots."""
        self._lent.difference_update(numbers)

    def _is_free(self, slot: _Slot) -> bool:
        written = self._written.get(slot.number)
        return slot.number not in self._lent and (written is None or written() is None)

    def _new_slot(self, size_bytes: int) -> _Slot | None:
        if len(self._slots) >= MAX_SLOTS:
            return None
        fd = os.memfd_create("pagemill")
        size_bytes = -(-size_bytes // SLOT_STEP_BYTES) * SLOT_STEP_BYTES
        os.ftruncate(fd, size_bytes)
        memory = mmap.mmap(fd, size_bytes)
        slot = _Slot(len(self._slots), fd, memory, ctypes.addressof(ctypes.c_char.from_buffer(memory)))
        self._slots.append(slot)
        return slot


class Borrower:
    """The slots that this side reads."""

    def __init__(self) -> None:
        self._memory: dict[int, mmap.mmap] = {}
        self._read: dict[int, weakref.ref[ctypes.Array[ctypes.c_char]]] = {}

    def map(self, number: int, fd: int) -> None:
        """Map a slot that the other side has made; `fd` may be closed then."""
        self._memory[number] = mmap.mmap(fd, os.fstat(fd).st_size)

    def view(self, number: int, size_bytes: int) -> ctypes.Array[ctypes.c_char]:
        """Return what lies in a slot; it stays there as long as anything refers to it, arrays on it included."""
        memory = (ctypes.c_char * size_bytes).from_buffer(self._memory[number])
        self._read[number] = weakref.ref(memory)
        return memory

    def take_unused(self) -> tuple[int, ...]:
        """Return the slots that nothing refers to any longer, each once."""
        unused = tuple(number for number, memory in self._read.items() if memory() is None)
        for number in unused:
            del self._read[number]
        return unused


_LENDER: ContextVar[Lender | None] = ContextVar("lender", default=None)


def lend_results_from(lender: Lender) -> None:
    """Make `result_memory` take memory from here; called once in a worker."""
    _LENDER.set(lender)


def result_memory(size_bytes: int) -> memoryview:
    """Return writable memory of undefined content for a part of a result.

    In a worker it is such that its parent reads the result there, without a copy.
    """
    lender = _LENDER.get()
    memory = lender.memory(size_bytes) if lender else None
    return memoryview(bytearray(size_bytes) if memory is None else memory)
