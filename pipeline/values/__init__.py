"""Printed values to typed ones: amounts, dates, currencies, IBANs. Pure functions, no state.

`parse_…` takes a text that is one value; `find_…` takes any text and returns the values that
stand in it, left to right, with their place. Both follow the rules stated at `parse_…`.
"""

from pipeline.values.amounts import find_amounts, parse_amount
from pipeline.values.currencies import find_currencies, parse_currency
from pipeline.values.dates import DateOrder, find_dates, parse_date
from pipeline.values.found import Found
from pipeline.values.ibans import find_ibans, parse_iban

__all__ = [
    "DateOrder",
    "Found",
    "find_amounts",
    "find_currencies",
    "find_dates",
    "find_ibans",
    "parse_amount",
    "parse_currency",
    "parse_date",
    "parse_iban",
]
