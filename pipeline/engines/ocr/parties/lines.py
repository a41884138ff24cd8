"""What one line of a letterhead or an address block is: a name, an address, a number, a contact.

Knows text and no positions. The words are those of postal addresses, company law and
letterheads in the languages that Pagemill reads (English, German, French, Dutch, Spanish,
Italian, Portuguese, Malay); they describe the forms and no single document.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

from rapidfuzz.distance import OSA

from pipeline.engines.ocr.labels import label_key


class LineKind(Enum):
    """What a line is in a block that names a party."""

    NAME = auto()
    ADDRESS = auto()
    WEAK_ADDRESS = auto()
    """An address only beside another address line: "Am Bahnhof 42", "Selangor", "MON ADRESSE 1"."""
    NUMBER = auto()
    """Registration, tax or customer number."""
    CONTACT = auto()
    TITLE = auto()
    """What the document is: "Tax invoice", "Quittung"."""
    OTHER = auto()
    """A key with its value, a date, an amount, a greeting."""


MAX_NAME_WORDS = 9
"""Names of companies and lines of addresses have fewer words than this, unless a legal form ends them."""


PROSE_WORDS = 5
"""Words in small letters that no name or address has as many of."""


def _words(text: str) -> str:
    return "|".join(text.split())


# Two-letter forms are words of running text as well ("as", "se"), so they count only in capitals, and not
# where they end a Dutch postcode ("5611 AB Eindhoven").
_LEGAL_FORM = re.compile(
    r"(?<!\w)(?:(?i:gmbh|mbh|kgaa|ohg|gbr|ltd|limited|llc|inc|incorporated|corp|corporation|plc|llp|pte|pty|"
    r"sdn ?bhd|bhd|berhad|sarl|sasu|eurl|srl|slu|lda|ltda|vof|aps|kft|s/b|a/s)"
    r"|(?<!\d{4} )(?:AG|KG|UG|eK|eV|aG|SA|SAS|SE|AB|OY|BV|NV|SL|SB|SNC|SCI|SpA|SPA|"
    r"OG|PartG|PartGmbB|eG|ASBL|VZW|SCOP|SLNE))(?!\w)"
)
_MISREADABLE_FORMS = ("sdnbhd", "sendirianberhad", "limited", "corporation", "gesellschaft")

_BUSINESS = re.compile(
    "(?i)"
    + _words(
        "restaura restoran enterprise trading market bakery cafe café kedai perniagaan pharmacy farmasi stationer "
        "hardware store shop hotel hôtel suppl boutique apotheke pharmacie bäckerei pizzeria bistro kitchen "
        "pasaraya klinik clinic versicherung stadtwerke industries group holding betrieb "
        "electric motor books librer ristorante supermer tienda garage verlag handel"
    )
    + r"|mart\b"
)

_STREET = re.compile(
    r"(?i)\b(?:jalan|jln|jl\.|lorong|lrg|persiaran|lebuh\w*|lebuhraya|taman|tmn|bandar|kampung|kg\.|seksyen|kawasan|"
    r"street|avenue|ave|road|rd|lane|drive|boulevard|blvd|highway|terrace|"
    r"rue|chemin|impasse|allée|quai|autoroute|route de|cours|via|viale|piazza|corso|calle|plaza|paseo|camino|avenida|"
    r"rua|travessa|largo|laan|straat)\b"
    r"|\b\w*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|straat|laan|gracht|plein|kade)\s*\d"
    r"|\b(?:st|dr|ln|ct|pl|sq)\b\.?(?:,|$)|\bp\.?\s?o\.? box\b"
)
_UNIT = re.compile(
    r"(?i)\b(?:lot|unit|level|suite|blk|block|tingkat|plot)\b[\s.:]*(?:no\b[\s.:]*)?"
    r"[a-z]{0,3}[\s-]?\d+[\w&-]*(?:[ ,]|$)"
    r"|(?:^|,)\W*no[\s.:]*\d{1,4}[\w&-]*(?:[ ,]|$)"
    r"|\b(?:ground|first|upper|lower|\d+(?:st|nd|rd|th)) (?:floor|flr)\b"
    r"|\b(?:wisma|menara|building|bldg|industrial park|shopping (?:cent|mall))\b"
)
_CITY = re.compile(
    # 80333 München, DE-80333 München, 4000-123 Porto
    r"(?:^|[\s,.-])(?:[A-Z]{1,2}[- ])?\d{4,6}(?:-\d{3,4})?,?\s*[^\W\d_]{3}"
    r"|\b\d{4} ?[A-Z]{2}\b,?\s+[^\W\d_]{3}"  # 3012 CN Rotterdam
    r"|[^\W\d_]{2}[.,]?\s+[A-Z]{2}\.?,?\s+\d{5}(?:-\d{4})?\b"  # Fremont CA 94538
    r"|\b[A-Z]{1,2}\d[A-Z\d]?\s*\d[A-Z]{2}\b"  # London SW1A 1AA
    r"|\b[A-Z]\d[A-Z] \d[A-Z]\d\b"  # Toronto ON M5V 2T6
    r"|[^\W\d_]{3},?\s+\d{5}[.,]?(?:$|,)"  # Shah Alam 40170
    r"|\b\d{5} (?:KL|PJ|JB)\b"
)
_PLACES = frozenset(
    "deutschland germany allemagne duitsland france frankreich frankrijk nederland netherlands niederlande belgium "
    "belgique belgië österreich austria schweiz suisse switzerland italy italia italien spain españa espagne portugal "
    "unitedkingdom greatbritain england scotland wales ireland unitedstates unitedstatesofamerica usa luxembourg "
    "luxemburg polska poland denmark danmark sweden sverige norway norge finland malaysia singapore indonesia thailand "
    "maroc morocco canada australia india china hongkong selangor selangordarulehsan selangorde johor johordarultakzim "
    "perak kedah kelantan melaka negerisembilan pahang penang pulaupinang perlis sabah sarawak terengganu "
    "wilayahpersekutuan wilayahpersekutuankualalumpur kualalumpur".split()
)
_COUNTRIES = frozenset("malaysia singapore deutschland germany france nederland usa italia españa unitedstates".split())

_CONTACT = re.compile(
    r"(?i)\b(?:te[l1i]|telephone|telefon|teléfono|téléphone|phone|fax|fex|mobile|mobil|handy|hotline|careline|"
    r"whatsapps?|h/?p|e-?mail|courriel|opening h|business h|shopping h|(?:sat|sun|mon|mo)\w*\s?[-–:])(?![^\W\d_])"
    r"|www[. ]|https?:|\w@\w+[. ]\w"
)
_NUMBER = re.compile(
    r"(?i)\b(?:gst|sst|vat|tax|tva|ust|mwst|btw|nif|nie|cif|iva|siret|siren|rcs|ape|naf|kvk|gln|gtin|duns|roc|brn|ssm|"
    r"hrb|hra|steuer\w*|iban|bic|swift|blz|umsatzsteuer\w*|handelsregister\w*|amtsgericht|partita iva|"
    r"reg(?:istration|d)?)\b"
    r"[\s./-]*(?:(?:id|no|nr|reg|num|number|ident|identnr|idnr|tax|registration|payer|intra)\b[\s./-]*)*[.:#(]*\s*\w*\d"
    r"|\b(?:co\.?|company|business|biz)[\s.-]*(?:reg\w*|no)\b|\b(?:ust|vat|gst|btw)[\s.-]*id|\bgst\b.*\d{6}|\bpte? id\b"
)
_OTHER = re.compile(
    r"(?i)\b\d{1,2}[:.]\d{2}\s*(?:[ap]m\b|:\d{2}|uhr|$)|\b\d{1,4}[/.-]\d{1,2}[/.-]\d{2,4}\b"
    r"|[.,]\d{2}\s*(?:[€$£]|\w{0,3})?$"
    r"|\b(?:welcome|willkommen|bienvenue|thank|thanks|tq ?(?:for)?|danke|merci|gracias|grazie|terima kasih|please|"
    r"bitte|page|seite|customer copy|sehr geehrter?|dear|betrifft)\b"
)
_TITLE_WORDS = frozenset(
    "tax invoice invoices simplified cash sale sales bill receipt official copy original duplicate pos credit debit "
    "note rechnung quittung beleg kassenbon kassenbeleg gutschrift rechnungskorrektur handelsrechnung facture avoir "
    "ticket recu caisse factuur bon kassabon creditnota factura recibo nota fattura ricevuta fiscale scontrino "
    "fatura order delivery statement proforma self billed commercial gst vat abbreviated retail".split()
)
_PERSON = re.compile(
    r"(?i)(?:herrn?|frau|familie|mr|mrs|ms|mme|mlle|m\.|monsieur|madame|dhr|mevr|de heer|sr|sra|señora?|sig)\b\.?"
)
_ADDRESSED = re.compile(r"(?i)(?:firma|fa\.|an(?: die| den| das)?|att(?:n|ention)?\.?|à l'attention de|t\.a\.v\.)")
_REGISTRATION = re.compile(r"\s*\([^()]*\d{4}[^()]*\)?|[\s,]+[A-Z]{0,3}\d{5,}\S*$")


@lru_cache(maxsize=4096)
def has_legal_form(text: str) -> bool:
    """Whether a company's legal form stands in `text`; the long ones may have a letter misread."""
    bare = _undotted(text)
    if _LEGAL_FORM.search(bare):
        return True
    tail = label_key(_REGISTRATION.sub("", bare))
    return any(OSA.distance(tail[-len(form) :], form, score_cutoff=1) <= 1 for form in _MISREADABLE_FORMS)


def continues_name(text: str) -> bool:
    """Whether a line can only be the rest of the name above: it begins with a legal or business form."""
    first = re.match(r"\W*(?:\w{1,3}\) )?((?:\w+[.&]? ?){1,2})", _undotted(text))
    if not first:
        return False
    words = first[1].split()
    begins = _LEGAL_FORM.match(" ".join(words)) or _LEGAL_FORM.match(words[0]) or words[0].casefold().strip(".") == "co"
    return bool(begins) or label_key(words[0]).startswith(("enterprise", "trading", "sdn", "holding", "services"))


@lru_cache(maxsize=4096)
def is_business(text: str) -> bool:
    """Whether `text` says what a shop or company does."""
    return _BUSINESS.search(text) is not None


def is_salutation(text: str) -> bool:
    """Whether the line is only a person's form of address, which the name follows: "Herrn"."""
    return _PERSON.fullmatch(text.strip(" :")) is not None


def addresses_somebody(text: str) -> bool:
    """Whether the line says that the next one is to receive the letter, and is no part of the name: "An die"."""
    return _ADDRESSED.fullmatch(text.strip(" :")) is not None


def speaks_to_person(text: str) -> bool:
    """Whether a name has a person's form of address before it; "Mr. Baker Ltd" is a company."""
    return _PERSON.match(text) is not None and not has_legal_form(text)


def is_city(text: str) -> bool:
    """Whether a postcode stands beside the name of a place."""
    return _CITY.search(text) is not None


def is_street_or_city(text: str) -> bool:
    """Whether a line alone proves that an address stands here."""
    return _STREET.search(text) is not None or is_city(text)


def ends_address(text: str) -> bool:
    """Whether nothing of a postal address can follow: the line ends with its country."""
    return _ends_with(text, _COUNTRIES)


def ends_with_place(text: str) -> bool:
    """Whether a line ends with a state or country, after which only the country can follow."""
    return _ends_with(text, _PLACES)


def _ends_with(text: str, names: frozenset[str]) -> bool:
    words = [label_key(word) for word in text.split()]
    return any("".join(words[-count:]) in names for count in (1, 2, 3) if count <= len(words))


def name_without_number(text: str) -> str:
    """A company's name as printed, without a registration number; what follows the number is no part of it."""
    number = _REGISTRATION.search(text)
    if number and has_legal_form(text[: number.start()]):
        text = text[: number.start()]
    return _REGISTRATION.sub("", text).strip(" ,;:-*|")


def has_registration(text: str) -> bool:
    """Whether a registration number stands beside the name."""
    return _REGISTRATION.search(text) is not None


@lru_cache(maxsize=4096)
def line_kind(text: str) -> LineKind:
    """What a line is, judged by its text alone."""
    bare = name_without_number(text)
    if has_legal_form(bare) or is_business(bare):
        text = bare
    letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))
    if _CONTACT.search(text):
        return LineKind.CONTACT
    street_or_city = bool(_STREET.search(text)) + bool(_CITY.search(text)) * 2
    if _NUMBER.search(text) and not (street_or_city and text.count(",")):
        return LineKind.NUMBER
    if _is_title(text):
        return LineKind.TITLE
    if addresses_somebody(text):
        return LineKind.OTHER
    if letters < 3 or (digits > letters and not street_or_city and not _UNIT.search(text)):
        return LineKind.NUMBER if digits >= 4 else LineKind.OTHER
    return _prose_kind(text, street_or_city)


def _prose_kind(text: str, street_or_city: int) -> LineKind:
    if _OTHER.search(text):
        return LineKind.OTHER
    legal = has_legal_form(text)
    placed = bool(street_or_city) or _UNIT.search(text) is not None
    prose, sentence = _is_prose(text), _is_sentence(text)
    if (prose and sentence) or (not legal and (prose or (sentence and not placed))):
        return LineKind.OTHER
    if _has_key(text) and not _UNIT.search(text):
        return LineKind.OTHER
    numbered = re.match(r"\W*\d+\w?\b", text) or re.search(r"[^\d#]\s?(?<!#)\d{1,4}\s?[a-zA-Z]?\W*$", text)
    if not legal and placed:
        return LineKind.ADDRESS
    if not legal and (numbered or text.rstrip().endswith(",") or label_key(text) in _PLACES):
        return LineKind.WEAK_ADDRESS
    return LineKind.NAME


def _has_key(text: str) -> bool:
    """Whether a colon parts the line into a key, made of words, and its value."""
    key, colon, _ = text.replace("：", ":").partition(":")
    return (
        bool(colon)
        and re.search(r"[^\W\d_]{2}", key) is not None
        and not re.search(r"\d", key)
        and not _STREET.search(key)
    )


def _is_sentence(text: str) -> bool:
    """Whether a line is running text: too many words for a name, or a full stop after several."""
    words = len(text.split())
    return words > MAX_NAME_WORDS or (words > 5 and re.search(r"[;!?]|[^\W\d_]{2}\.$", text) is not None)


def _is_prose(text: str) -> bool:
    """Whether a line has more small words than any name or address."""
    return len(re.findall(r"(?<!\S)[^\W\d_A-Z][^\W\d_A-Z]+(?!\S)", text)) >= PROSE_WORDS


def is_place(text: str) -> bool:
    """Whether the line is the name of a country or state."""
    return label_key(text) in _PLACES


def _is_title(text: str) -> bool:
    words = [label_key(word) for word in re.findall(r"[^\W\d_]{3,}", text)]
    return bool(words) and all(word in _TITLE_WORDS or word.endswith(("invoice", "rechnung")) for word in words)


def _undotted(text: str) -> str:
    """Without the dots of abbreviations: "S.A.R.L." -> "SARL", "Sdn. Bhd." -> "Sdn Bhd"."""
    return re.sub(r"(?<=[^\W\d_])\.", "", text)
