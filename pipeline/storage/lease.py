"""One writer for each key: what the leases of folders and buckets have in common.

A folder's lease is a kernel lock (folder_lease.py), a bucket's an object that is renewed
(bucket_lease.py). Both say who holds them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from pipeline.errors import OutputBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.storage.holder import Holder

POLL_S = 1.0


class Lease(Protocol):
    """The right to write; it ends with the `with` that gave it."""

    def check(self) -> None:
        """Return while this process holds the lease; cheap. Call it before every commit.

        Raises:
            LeaseLostError: somebody else holds it, or it was deleted. Terminal.
            StorageError: the bucket was not to be reached for longer than the lease is valid.
        """
        ...


class Busy(NamedTuple):
    """The answer to one attempt to get a lease that another holds."""

    holder: Holder
    certain: bool = True
    """Whether the holder is known to live; where it is not, the next attempts will tell."""


L = TypeVar("L")


def wait_for(
    attempt: Callable[[], L | Busy],
    describe: Callable[[Holder], str],
    *,
    wait_s: float,
    poll_s: float = POLL_S,
    on_wait: Callable[[str], None] | None = None,
) -> L:
    """Return the lease that `attempt` gives, asking until `wait_s` has passed and it is certain that another lives.

    Args:
        describe: A sentence on who holds it and what ends that.
        on_wait: Called with that sentence when waiting begins, and when the holder changes; what it raises ends it.

    Raises:
        OutputBusyError: it is still held.
    """
    give_up_at = time.monotonic() + wait_s
    told: str | None = None
    while isinstance(answer := attempt(), Busy):
        left_s = give_up_at - time.monotonic()
        if left_s <= 0 and answer.certain:
            wait = "" if wait_s else " Wait for it, or let this run wait: `--set output_files.wait_s=3600`."
            waited = f" It was waited for {wait_s:g} s." if wait_s else ""
            raise OutputBusyError(describe(answer.holder) + waited + wait)
        if on_wait and answer.holder.token != told:
            on_wait(describe(answer.holder))
            told = answer.holder.token
        time.sleep(min(poll_s, left_s) if left_s > 0 else poll_s)
    return answer
