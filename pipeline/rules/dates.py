"""Rules of days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from pipeline.rules.rule import Finding, Rule, Values, plain_name, values_at

LONGEST_TERM_DAYS = 366
"""A year to pay: far more than the 60 days between firms of Directive 2011/7/EU, Article 3(5), which may be agreed
otherwise; a longer one is a misread year far more often."""

EARLIEST = dt.date(1970, 1, 1)


def dates_in_order(*fields: str, within_days: int | None = LONGEST_TERM_DAYS, name: str | None = None) -> Rule:
    """Make the rule that days come one after the other: an invoice's, and that by which it is to be paid.

    Equal days are in order.

    Args:
        within_days: between the first and the last at most; None: any time.
        name: default `date_before_due_date`.
    """

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, fields):
            days = [_day(value) for value in found.values()]
            known = [day for day in days if day is not None]
            if len(known) < len(days):
                continue
            too_long = within_days is not None and (known[-1] - known[0]).days > within_days
            message = ", ".join(f"{path} {day}" for path, day in zip(found, known, strict=True))
            if known != sorted(known):
                yield Finding(tuple(found), f"Not in order: {message}.")
            else:
                yield Finding(tuple(found), f"More than {within_days} days between: {message}." if too_long else None)

    return Rule(name or plain_name("_before_".join(fields)), fields, check)


def date_is_plausible(
    field: str, *, earliest: dt.date = EARLIEST, days_ahead: int = LONGEST_TERM_DAYS, name: str | None = None
) -> Rule:
    """Make the rule that a day is neither long ago nor far ahead of today, as a misread year is.

    Args:
        days_ahead: of today, at most.
        name: default `date_is_plausible`.
    """

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (field,)):
            for path, value in found.items():
                day = _day(value)
                latest = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days_ahead)
                # Holding says nothing: nearly every day is plausible, the wrong ones too.
                if day is not None and not earliest <= day <= latest:
                    yield Finding((path,), f"{path} {day} is not between {earliest} and {latest}.")

    return Rule(name or f"{plain_name(field)}_is_plausible", (field,), check)


def _day(value: Any) -> dt.date | None:
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else None
