"""Rules of numbers that carry check digits."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType

from pipeline.errors import ConfigError
from pipeline.rules.rule import Finding, Rule, Values, plain_name, values_at


def number_is_valid(field: str, kind: str, *, name: str | None = None) -> Rule:
    """Make the rule that a number has the form and the check digits of its kind.

    Spaces, dots and dashes in it do not matter. That it is right in form does not say that it was ever given out.

    Args:
        kind: a format that python-stdnum knows, by its name there: "eu.vat" (VAT identification numbers of the
            European Union, country code in front), "gb.vat", "ch.vat", "iban", "bic", "luhn", "ean", "lei",
            "iso11649" (creditor references, RF…), "fr.siret", "de.stnr" …
        name: default `vat_id_is_valid`.

    Raises:
        ConfigError: there is no such kind.
    """
    if importlib.util.find_spec("stdnum") is None or not _is_known(kind):
        raise ConfigError(
            f"number_is_valid: python-stdnum has no format {kind!r}; see https://arthurdejong.org/python-stdnum/formats"
        )

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (field,)):
            for path, value in found.items():
                reason = _fault(_format(kind), str(value))
                yield Finding((path,), None if reason is None else f"{path} {value}: {reason}")

    return Rule(name or f"{plain_name(field)}_is_valid", (field,), check)


def _is_known(kind: str) -> bool:
    try:
        return hasattr(_format(kind), "validate")
    except ImportError:
        return False


def _format(kind: str) -> ModuleType:
    return importlib.import_module(f"stdnum.{kind}")


def _fault(format_: ModuleType, value: str) -> str | None:
    from stdnum.exceptions import ValidationError

    try:
        format_.validate(value)
    except ValidationError as error:
        return str(error)
    return None
