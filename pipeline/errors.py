"""Every error Pagemill raises on purpose.

PipelineError
  ConfigError          the caller fixes it; exit code 2
  StorageError         reading or writing a folder or bucket failed after its retries; exit code 3
    OutputBusyError    another run writes to this output
    LeaseLostError     another run took the output over while this one stood still
    AccessDeniedError  a bucket gives one object to nobody like us; of an input it becomes one failed record
  LedgerError          pages found and pages committed differ; exit code 3
  DocumentError        a document cannot be opened; becomes one failed record
    DocumentChangedError  it is not the one that was listed any more; left for a later run, without a record
  RenderError          one page cannot be rasterised; becomes one failed record
  GenerationInvalid    an output does not fit the schema; the page gets its next try, then a failed record
  EngineError          the engine is dead; it is rebuilt and pages in flight are sent again; exit code 3 at the end
    EngineStartError   the engine cannot start with these settings; exit code 2
      CanaryError      the engine starts, but does not read pages whose text is known
  WorkerError          no worker process can start; callers translate it
    WorkerJobError     a job failed with an error that cannot leave its worker
    WorkerTimeoutError, WorkerCrashedError, WorkerMemoryError   a job cost its worker its life

`error_type` values are part of the output format (docs/output.md): they are written to
Parquet and people group by them, so a value is never renamed.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorType(StrEnum):
    """Why a page or a document failed; the `error_type` column."""

    NOT_A_DOCUMENT = "not_a_document"
    EMPTY_FILE = "empty_file"
    ENCRYPTED = "encrypted"
    NO_PAGES = "no_pages"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    RENDER_TIMEOUT = "render_timeout"
    RENDER_CRASH = "render_crash"
    OUTPUT_CUT_OFF = "output_cut_off"
    OUTPUT_REPEATS = "output_repeats"
    OUTPUT_INVALID = "output_invalid"
    OUTPUT_DOUBTFUL = "output_doubtful"
    """Only of a try: its page was read again, or better before, and has a record."""
    INPUT_REJECTED = "input_rejected"
    ENGINE_CRASH = "engine_crash"
    ENGINE_TIMEOUT = "engine_timeout"


CURABLE = frozenset(
    {
        ErrorType.ENCRYPTED,
        ErrorType.UNREADABLE,
        ErrorType.RENDER_TIMEOUT,
        ErrorType.RENDER_CRASH,
        ErrorType.ENGINE_TIMEOUT,
    }
)
"""Failures whose cause may be gone at the next run (a password, a permission, a busy machine) although neither
the document nor a setting in a fingerprint changed; what failed so is read again."""


WHAT_HELPS = {
    ErrorType.NOT_A_DOCUMENT: "nothing; leave the file out",
    ErrorType.EMPTY_FILE: "fetch it again",
    ErrorType.ENCRYPTED: "add the password to `render.passwords`",
    ErrorType.NO_PAGES: "fetch it again",
    ErrorType.DAMAGED: "fetch it again, or print it to a new PDF",
    ErrorType.UNREADABLE: "look at its permissions; run again",
    ErrorType.TOO_LARGE: "raise the `render` limit that the message names",
    ErrorType.RENDER_TIMEOUT: "raise `render.timeout_s`",
    ErrorType.RENDER_CRASH: "print it to a new PDF",
    ErrorType.OUTPUT_CUT_OFF: "raise `tries.max_tokens`",
    ErrorType.OUTPUT_REPEATS: "another model, or more `tries.max_tries`",
    ErrorType.OUTPUT_INVALID: "look at `raw_text`; mend prompt or schema",
    ErrorType.OUTPUT_DOUBTFUL: "nothing; the page has a record, and `review_reasons` if that is in doubt, too",
    ErrorType.INPUT_REJECTED: "lower `render.max_pixels`, or raise `vllm.max_model_len`",
    ErrorType.ENGINE_CRASH: "look at the log; report it",
    ErrorType.ENGINE_TIMEOUT: "raise `ocr.timeout_s` or `vllm.page_timeout_s`",
}
"""What a person can do about each; docs/output.md has the same words."""


class PipelineError(Exception):
    """Base of all errors below; `str(error)` is a sentence a person can act on."""


class ConfigError(PipelineError):
    """A setting is wrong; retrying does not help until the caller changes it."""


class StorageError(PipelineError):
    """Reading or writing a folder or bucket failed; transient causes were retried already."""


class OutputBusyError(StorageError):
    """Another run writes to this output; the message says who. Waiting helps."""


class LeaseLostError(StorageError):
    """Another run took the output over while this one stood still; what is not committed is left to it."""


class AccessDeniedError(StorageError):
    """A bucket refuses one object: it is another's, encrypted with another's key, or archived."""


class LedgerError(PipelineError):
    """Pages found and pages committed differ: a fault in Pagemill; nothing that is committed is affected."""


class PageError(PipelineError):
    """Base of errors that end in a failed record instead of ending the run."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    def __reduce__(self) -> tuple[type[PageError], tuple[ErrorType, str]]:
        """Travels through process boundaries."""
        return type(self), (self.error_type, str(self))


class DocumentError(PageError):
    """A document cannot be opened; terminal."""


class DocumentChangedError(DocumentError):
    """A document changed since it was listed, or while it was opened; it may still be arriving."""


class RenderError(PageError):
    """A page cannot be rasterised; terminal, other pages may still render."""


class GenerationInvalid(PageError):
    """An output does not fit the schema; the next try may succeed."""


class EngineError(PipelineError):
    """The engine died or stopped answering; a new engine may succeed with the same pages."""


class EngineStartError(EngineError):
    """The engine cannot start with these settings; the message says what to change."""


class CanaryError(EngineStartError):
    """The engine does not read pages whose text is known; the message says how badly and what may be wrong."""


class WorkerError(PipelineError):
    """A worker process died, hung or passed its memory limit; itself, no worker can be started."""


class WorkerJobError(WorkerError):
    """A job failed with an error that cannot leave its worker; the message has its type and words."""


class WorkerTimeoutError(WorkerError):
    """A job passed its time limit; its worker was killed and replaced."""


class WorkerCrashedError(WorkerError):
    """A worker died while it ran a job; it was replaced."""


class WorkerMemoryError(WorkerError):
    """A job passed its worker's memory limit; the worker was replaced, trying again does not help."""
