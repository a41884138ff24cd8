"""Rules that a record keeps: ready-made ones, and the decorator for own ones.

    class Invoice(BaseModel):
        rules: ClassVar[tuple[Rule, ...]] = (
            adds_up("subtotal", "tax", to="total"),
            dates_in_order("date", "due_date"),
        )

A rule says something only where all the values that it needs are there. What it knows of the world (rounding, tax
rates, currencies) is stated with its source beside it.
"""

from pipeline.rules.amounts import adds_up, amount_is_plausible, is_between, tax_is_plausible
from pipeline.rules.countries import currency_fits_country
from pipeline.rules.dates import date_is_plausible, dates_in_order
from pipeline.rules.lines import lines_add_up, quantity_times_price
from pipeline.rules.numbers import number_is_valid
from pipeline.rules.rule import Finding, Outcome, Rule, check_rules, rule, rules_of

__all__ = [
    "Finding",
    "Outcome",
    "Rule",
    "adds_up",
    "amount_is_plausible",
    "check_rules",
    "currency_fits_country",
    "date_is_plausible",
    "dates_in_order",
    "is_between",
    "lines_add_up",
    "number_is_valid",
    "quantity_times_price",
    "rule",
    "rules_of",
    "tax_is_plausible",
]
