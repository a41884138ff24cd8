"""Which storage failures pass by themselves, and how long they are waited for."""

from __future__ import annotations

import contextlib
import errno
import functools
import re
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 6
MAX_WAIT_S = 10.0

PASSING_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What network file systems report while a server restarts."""


class TransientError(Exception):
    """A failure that another attempt may not meet; `__cause__` has it."""


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, TransientError) or (isinstance(error, OSError) and error.errno in PASSING_ERRNOS)


def retried(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work`, repeated on transient failures and raising StorageError on lasting ones.

    Waits are random (full jitter), so that many workers do not come back at the same
    moment: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015.
    FileNotFoundError passes: a file that is gone is for the caller to judge.
    """
    patient = retry(
        retry=retry_if_exception(_is_transient),
        wait=wait_random_exponential(multiplier=0.2, max=MAX_WAIT_S),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )(work)

    @functools.wraps(work)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return patient(*args, **kwargs)
        except FileNotFoundError:
            raise
        except TransientError as error:
            raise StorageError(f"{without_secrets(str(error))} (tried {ATTEMPTS} times)") from error.__cause__
        except OSError as error:
            raise StorageError(advice(error)) from error

    return translated


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in errors that name no file, as those of write(2) do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def without_secrets(text: str) -> str:
    """Return `text` on one line without what may carry credentials: URL user parts and query strings."""
    text = " ".join(text.split())
    text = re.sub(r"(://)[^/@\s]+@", r"\1", text)
    return re.sub(r"\?[^\s\"')>]*", "", text)


def advice(error: OSError) -> str:
    """Return what the error means and what to do about it."""
    where = repr(error.filename) if error.filename else "the output"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"No space is left for {where}; free some and run the same command again."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{where}: {error.strerror}; change its permissions or choose another folder."
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return f"{where} is, or lies below, a file where a folder is needed; choose another folder."
    if error.errno == errno.ENOENT:
        return f"{where} cannot be made there; choose another folder."
    return f"{where}: {error.strerror or error}; mend that or choose another folder."
