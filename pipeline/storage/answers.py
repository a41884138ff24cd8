"""What a bucket's server answers, as our errors.

object_store has types for what is about an object, and one for all the rest: a broken connection,
a time-out, any status it does not know, a redirect. What that one was is read from its text,
which has the status and the body; tests/test_storage_faults.py fails when an upgrade changes it.

Nothing of a body is repeated but its code and its message: S3 answers an expired session token
with the token in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from obstore import exceptions

from pipeline.errors import AccessDeniedError, StorageError
from pipeline.storage.retrying import TransientError, without_secrets

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
REFUSED_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "AuthenticationFailed"}
)
PASSING_CODES = frozenset({"RequestTimeout", "SlowDown", "ServerBusy", "OperationTimedOut"})
PASSING_STATUSES = frozenset({408, 425, 429})
"""Too slow, too early, too many (RFC 9110, RFC 8470, RFC 6585); and all from 500 on."""
MACHINE = re.compile(r"/latest/api/token|/latest/meta-data|computeMetadata|/metadata/identity|token request")
"""What the addresses of instance roles have in common, and how object_store speaks of them."""
NO_ROLE = frozenset({401, 403, 404})
"""What such an address answers where the machine has none, or where it is not the one that answers."""
NO_CONNECTION = frozenset(
    {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}
)
"""What botocore calls what may pass."""
HOW_TO_GO_ON = "What is committed stays; when it answers again, run the same command."
CHECK_CREDENTIALS = "check the credentials (environment, profile or role; docs/storage.md)"


class Answer(NamedTuple):
    """What is known of a failed request."""

    status: int | None
    """None where no answer came, or none that was whole."""
    code: str
    message: str
    on_credentials: str = ""
    """What it says where it was credentials that were asked for, of the machine or of a profile."""

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.code, self.message.rstrip(".")) if part)
        if self.status is None:
            return said or "no answer"
        return f"{self.status} {said}".rstrip()


def read_answer(error: BaseException) -> Answer:
    """Return what an error of obstore says."""
    text = str(error)
    said, _, debug = text.partition("Debug source:")
    if profile := re.search(r"credential provider: (\w+): (.{1,300})", said):
        return Answer(None, profile[1], without_secrets(profile[2]), on_credentials="profile")
    machine = "machine" if MACHINE.search(said) else ""
    status = re.search(r"non-2xx status code: (\d{3})\s?([^:<{]*)", said)
    code = re.search(r"<Code>([\w.]{1,100})</Code>", said)
    message = re.search(r'<Message>([^<]{1,500})|"message": ?"([^"]{1,500})"', said)
    if status:
        words = (message[1] or message[2]) if message else "" if code else status[2]
        return Answer(int(status[1]), code[1] if code else "", without_secrets(words), machine)
    cause = re.search(r'(?:message|error): "([^"]{1,300})"|\b(TimedOut|InvalidCertificate\(\w+|BadScheme)', debug)
    what = {"TimedOut": "no answer in time"}.get(cause[2] or "", cause[1] or cause[2]) if cause else ""
    short = re.sub(r"Generic \w+ error: |Error performing | in [\d.]+[nµm]?s\b|HTTP error: ", "", without_secrets(said))
    return Answer(None, "", " - ".join(part for part in (short[-300:], what) if part), machine)


class Patience(NamedTuple):
    """How long failures are worth another attempt, from the first one on."""

    away_s: float = 300
    """A server that answered before, or that answers that it cannot just now."""
    never_met_s: float = 30
    """One that never answered: a wrong name more often than a bad moment."""
    expired_s: float = 30
    """Expired credentials that are renewed elsewhere: a profile, a role."""
    silence_s: float = 30
    """How long an answer, or the next bytes of one, may take."""


class ExpiredError(TransientError):
    """Credentials have expired; asked for again, they may be new ones."""


def our_error(error: BaseException, what: str, *, met: bool, renewable: bool, patience: Patience) -> Exception:
    """Return the error to raise: TransientError for what may pass, else StorageError.

    Args:
        what: The object's name.
        met: Whether its server ever answered.
        renewable: Whether other credentials may be had by asking for them again.
    """
    answer = read_answer(error)
    if answer.on_credentials or answer.status is None:
        because = _no_credentials if answer.on_credentials else _no_answer
        return because(answer, what, met=met, patience=patience)
    if answer.code in EXPIRED or (answer.status == 400 and not answer.code):
        return _expired(answer, what, renewable=renewable, patience=patience)
    if answer.status >= 500 or answer.status in PASSING_STATUSES or answer.code in PASSING_CODES:
        return TransientError(f"{what}: {answer}", patience_s=patience.away_s, advice=HOW_TO_GO_ON)
    if answer.code == "RequestTimeTooSkewed":
        return StorageError(f"{what}: {answer}; set this machine's clock.")
    if answer.status in {401, 403}:
        # One object may be refused to credentials that are good for others.
        one = isinstance(error, exceptions.PermissionDeniedError) and answer.code not in REFUSED_CREDENTIALS
        return (AccessDeniedError if one else StorageError)(
            f"{what}: access is denied ({answer}); {CHECK_CREDENTIALS}."
        )
    return StorageError(f"The bucket of {what} does not exist." if answer.status == 404 else f"{what}: {answer}.")


def _expired(answer: Answer, what: str, *, renewable: bool, patience: Patience) -> Exception:
    # A HEAD's answer has no body that could give a reason; 400 is what S3 says of expired tokens.
    why = "the credentials have expired" if answer.code else "no reason is given; often the credentials have expired"
    advice = "Renew them, then run the same command again; what is committed stays."
    if renewable:
        return ExpiredError(f"{what}: {why} ({answer})", patience_s=patience.expired_s, advice=advice)
    return StorageError(f"{what}: {why} ({answer}). {advice}")


def _no_credentials(answer: Answer, what: str, *, met: bool, patience: Patience) -> Exception:
    patience_s = patience.away_s if met else patience.never_met_s
    if answer.on_credentials == "profile":
        said = f"{what}: the profile gives no credentials ({answer})"
        if answer.code in NO_CONNECTION:
            return TransientError(said, patience_s=patience_s, advice=HOW_TO_GO_ON)
        return StorageError(f"{said}; log in (`aws sso login`) or mend it, then run the same command again.")
    said = f"{what}: no credentials in the environment, and none of this machine's role ({answer})"
    if not met and answer.status in NO_ROLE:
        return StorageError(f"{said}; {CHECK_CREDENTIALS}.")
    return TransientError(said, patience_s=patience_s, advice=f"So {CHECK_CREDENTIALS}.")


def _no_answer(answer: Answer, what: str, *, met: bool, patience: Patience) -> Exception:
    said = f"{what}: {answer}"
    if "redirect without LOCATION" in answer.message:
        return StorageError(f"{what}: this bucket lies in another region; set AWS_REGION to it.")
    if path := re.search(r'invalid path: .*?"([^"]*)"', answer.message):
        why = 'a part of its name is empty, "." or "..", or holds a control character'
        return StorageError(f"{what} cannot be listed because of {path[1]!r}: {why}. Rename or delete that object.")
    if re.search(r"BadScheme|Version required|Header missing", answer.message):
        return StorageError(f"{what}: {answer}; no storage Pagemill knows answers so. Check its address.")
    if not met:
        return TransientError(said, patience_s=patience.never_met_s, advice="Check its address and the network.")
    return TransientError(said, patience_s=patience.away_s, advice=HOW_TO_GO_ON)
