"""Who issued a page's document and to whom: names and postal addresses, found by form and place.

Parties are collected below headings (`sections.py`) and in stacks of lines (`stacks.py`).
Each is then scored as issuer and as recipient, and the best pair is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.parties.headings import Heading, party_heading
from pipeline.engines.ocr.parties.lines import has_legal_form, is_business, is_city
from pipeline.engines.ocr.parties.party import Mentions, Party
from pipeline.engines.ocr.parties.sections import headed_parties
from pipeline.engines.ocr.parties.stacks import stacked_parties
from pipeline.engines.ocr.specs import FieldSpec
from pipeline.schema import Role

ROLES = (Role.ISSUER_NAME, Role.ISSUER_ADDRESS, Role.RECIPIENT_NAME, Role.RECIPIENT_ADDRESS)

UNFIT = -1.0
"""Score of a party that cannot have a part."""


def find_parties(page: PageLayout, specs: Sequence[FieldSpec]) -> dict[str, str]:
    """The values of the fields whose role is a party's name or address; fields without a value are left out."""
    wanted = {spec.role: spec for spec in specs if spec.role in ROLES}
    if not wanted or not page.rows:
        return {}
    labels = {role: spec.labels for role, spec in wanted.items()}
    parties = collect(page, labels.get(Role.ISSUER_NAME, ()), labels.get(Role.RECIPIENT_NAME, ()))
    two_sided = Role.RECIPIENT_NAME in wanted or Role.RECIPIENT_ADDRESS in wanted
    issuer, recipient = choose(parties, page, two_sided=two_sided)
    values = {
        Role.ISSUER_NAME: issuer and issuer.name,
        Role.ISSUER_ADDRESS: issuer and issuer.address,
        Role.RECIPIENT_NAME: recipient and recipient.name,
        Role.RECIPIENT_ADDRESS: recipient and recipient.address,
    }
    return {spec.name: value for role, spec in wanted.items() if (value := values[role])}


def collect(page: PageLayout, issuer_labels: tuple[str, ...], recipient_labels: tuple[str, ...]) -> list[Party]:
    """All parties of the page, those below headings first."""
    headings = {run: found for run in page.runs if (found := party_heading(run.text, issuer_labels, recipient_labels))}
    taken = set(headings)
    parties = []
    for party, used in headed_parties(page, headings):
        parties.append(party)
        taken.update(used)
    return [*parties, *stacked_parties(page, [run for run in page.runs if run not in taken])]


def choose(parties: Sequence[Party], page: PageLayout, *, two_sided: bool) -> tuple[Party | None, Party | None]:
    """The issuer and the recipient among the parties of a page; None where nobody qualifies.

    An issuer whose name stands apart from its address gets the nearest address that is nobody's.

    Args:
        two_sided: whether the document has a recipient even where no heading says so; a receipt has none.
    """
    mentions = Mentions(page)
    issuers = [(_issuer_score(party, page, mentions), party) for party in parties]
    recipients = [(_recipient_score(party, page), party) for party in parties if two_sided or party.heading]
    pairs: list[tuple[float, Party | None, Party | None]] = [
        (a + b, issuer, recipient)
        for a, issuer in [*issuers, (0.0, None)]
        for b, recipient in [*recipients, (0.0, None)]
        if a >= 0 and b >= 0 and not _same(issuer, recipient)
    ]
    _, issuer, recipient = max(pairs, key=lambda pair: pair[0])
    others = [party for score, party in issuers if score >= 0 and party is not recipient]
    return issuer and _completed(issuer, others), recipient


def _completed(issuer: Party, others: Sequence[Party]) -> Party:
    """The issuer with what other places of the page say of it: the name that its logo shortens, and its address."""
    key = label_key(issuer.name)
    longer = (p.name for p in others if key and label_key(p.name).startswith(key))
    fuller = next((name for name in longer if 0 < len(name.split()) - len(issuer.name.split()) <= 2), "")
    addressed = [other for other in others if other.address]
    nearest = min(addressed, key=lambda other: abs(other.box.y0 - issuer.box.y1), default=issuer)
    return replace(issuer, name=max(issuer.name, fuller, key=len), address=issuer.address or nearest.address)


def _same(a: Party | None, b: Party | None) -> bool:
    return a is not None and b is not None and (a is b or label_key(a.name) == label_key(b.name))


def _issuer_score(party: Party, page: PageLayout, mentions: Mentions) -> float:
    """How much speaks for a party as the issuer: its heading, its own domain, its legal form, its place."""
    if party.heading in {Heading.RECIPIENT, Heading.OTHER} or party.addressed:
        return UNFIT
    if not party.name:
        return 0.1 * min(party.numbers, 2) - 0.1
    return (
        8.0 * (party.heading is Heading.ISSUER)
        + 3.5 * mentions.in_domain(party.name)
        + 3.0 * has_legal_form(party.name)
        + 1.0 * min(party.size / page.line_height_px - 1, 1.0)
        + 0.5 * is_business(party.name)
        + 1.0 * bool(party.address)
        + 0.75 * min(party.numbers, 2)
        + 0.5 * min(mentions.others(party.name), 2)
        + 2.0 * (1 - party.box.y0 / page.height_px)
    )


def _recipient_score(party: Party, page: PageLayout) -> float:
    """How much speaks for a party as the recipient: its heading, a salutation, a postal address without numbers."""
    if party.heading in {Heading.ISSUER, Heading.OTHER} or not party.name:
        return UNFIT
    if party.heading is Heading.RECIPIENT:
        return 8.0 + (1 - party.box.y0 / page.height_px)
    in_window = is_city(party.address) and party.box.y0 < 0.45 * page.height_px
    return (
        (1.5 + 2.0 * has_legal_form(party.name) if in_window else -1.0)
        + 3.0 * party.addressed
        - 0.75 * min(party.numbers, 2)
    )
