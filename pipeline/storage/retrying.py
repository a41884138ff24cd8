"""Which storage failures pass by themselves, and how long they are waited for.

A folder's are waited for a few seconds. A bucket that answered before is waited for as long as
an error says it is worth (TransientError): a server that is away for some minutes costs these
minutes and not the night.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import re
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from tenacity import RetryCallState, retry, retry_if_exception, wait_random_exponential

from pipeline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

FOLDER_ATTEMPTS = 6
FIRST_WAIT_S, MAX_WAIT_S = 0.2, 20.0
TOLD_AFTER_S = 5.0
"""How long a failure lasts before the log speaks of it."""

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
    """A failure that another attempt may not meet."""

    def __init__(self, message: str, *, patience_s: float, advice: str = "") -> None:
        """Say what failed, how long after the first attempt it is worth another one, and what to do then."""
        super().__init__(message)
        self.patience_s = patience_s
        self.advice = advice


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, TransientError) or (isinstance(error, OSError) and error.errno in PASSING_ERRNOS)


def retried(work: Callable[P, R], *, at_most_s: float = math.inf) -> Callable[P, R]:
    """Return `work`, repeated on transient failures and raising StorageError on lasting ones.

    Waits are random (full jitter), so that many workers do not come back at the same
    moment: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015.
    FileNotFoundError passes: a file that is gone is for the caller to judge.

    Args:
        at_most_s: Bounds the patience that errors ask for.
    """

    def left_s(state: RetryCallState) -> float:
        error = _error_of(state)
        patience_s = error.patience_s if isinstance(error, TransientError) else math.inf
        return min(patience_s, at_most_s) - (state.seconds_since_start or 0)

    def is_over(state: RetryCallState) -> bool:
        if isinstance(_error_of(state), TransientError):
            return left_s(state) <= 0
        return state.attempt_number >= FOLDER_ATTEMPTS

    patient = retry(
        retry=retry_if_exception(_is_transient),
        # The last attempt is made when patience ends, and not some random time before.
        wait=lambda state: min(_backoff(state), max(left_s(state), 0)),
        stop=is_over,
        before_sleep=_tell,
        retry_error_callback=_give_up,
    )(work)

    @functools.wraps(work)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return patient(*args, **kwargs)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(advice(error)) from error

    return translated


_backoff = wait_random_exponential(multiplier=FIRST_WAIT_S, max=MAX_WAIT_S)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _tell(state: RetryCallState) -> None:
    """Log, once for each call, that something is waited for."""
    next_s = state.next_action.sleep if state.next_action else 0
    if state.idle_for - next_s < TOLD_AFTER_S <= state.idle_for:
        log.warning("storage does not answer; trying again", extra={"why": str(_error_of(state))})


def _give_up(state: RetryCallState) -> NoReturn:
    error = _error_of(state)
    if isinstance(error, OSError):
        raise error
    times = f"{state.attempt_number} times in {state.seconds_since_start or 0:.0f} s"
    if not isinstance(error, TransientError):
        raise TypeError(error)
    # Not chained: what a server answers may repeat a session token.
    raise StorageError(f"{error} (tried {times}). {error.advice}".rstrip()) from None


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
