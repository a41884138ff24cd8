from typing import Annotated

import pytest
from pydantic import BaseModel

from pipeline.data import Box, TextLine
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.parties import find_parties
from pipeline.engines.ocr.specs import field_specs
from pipeline.schema import Printed, Role

LETTER_PX, HEIGHT_PX, PITCH_PX = 9, 18, 22


class Letter(BaseModel):
    """A document with two sides."""

    seller: Annotated[str | None, Printed("Seller", role=Role.ISSUER_NAME)] = None
    seller_address: Annotated[str | None, Printed(role=Role.ISSUER_ADDRESS)] = None
    buyer: Annotated[str | None, Printed("Payer", role=Role.RECIPIENT_NAME)] = None
    buyer_address: Annotated[str | None, Printed(role=Role.RECIPIENT_ADDRESS)] = None


class Receipt(BaseModel):
    """A document with one side."""

    seller: Annotated[str | None, Printed(role=Role.ISSUER_NAME)] = None
    address: Annotated[str | None, Printed(role=Role.ISSUER_ADDRESS)] = None


def block(x: int, y: int, *texts: str) -> list[TextLine]:
    """Lines flush left at x, the first at y; an empty text leaves a blank line."""
    places = [(text, y + i * PITCH_PX) for i, text in enumerate(texts) if text]
    return [TextLine(text, Box(x, top, x + LETTER_PX * len(text), top + HEIGHT_PX)) for text, top in places]


def parties(model: type[BaseModel], *blocks: list[TextLine]) -> dict[str, str]:
    """What is found on a page of blocks."""
    page = PageLayout([line for lines in blocks for line in lines], 1000, 1400)
    return find_parties(page, field_specs(model))


def receipt(*texts: str) -> dict[str, str]:
    """A receipt's head, centred as tills print it, with an article and a total below."""
    lines = [*texts, "Tax Invoice", "Bread  1 x 2.50  2.50", "Total 2.50"]
    return parties(
        Receipt, *(block(400 - LETTER_PX * len(text) // 2, 40 + i * PITCH_PX, text) for i, text in enumerate(lines))
    )


@pytest.mark.parametrize(
    ("head", "seller", "address"),
    [
        (
            [
                "BRIGHT STATIONERY SDN BHD",
                "(123456-X)",
                "NO 8, JALAN BUKIT 5,",
                "43300 SERI KEMBANGAN, SELANGOR",
                "TEL: 03-1234 5678",
            ],
            "BRIGHT STATIONERY SDN BHD",
            "NO 8, JALAN BUKIT 5, 43300 SERI KEMBANGAN, SELANGOR",
        ),
        (
            ["Bäckerei Sommer GmbH", "Hauptstraße 12", "12345 Berlin", "USt-IdNr. DE123456789"],
            "Bäckerei Sommer GmbH",
            "Hauptstraße 12 12345 Berlin",
        ),
        (
            ["CAFÉ DU PORT", "12 rue de la Paix", "75002 Paris", "Tél. 01 42 00 00 00"],
            "CAFÉ DU PORT",
            "12 rue de la Paix 75002 Paris",
        ),
        (["Corner Shop Ltd", "25 Baker Street", "London W1U 8EQ"], "Corner Shop Ltd", "25 Baker Street London W1U 8EQ"),
        (["Il Forno S.r.l.", "Via Roma 1", "20121 Milano (MI)"], "Il Forno S.r.l.", "Via Roma 1 20121 Milano (MI)"),
    ],
)
def test_a_receipt_s_seller_and_address_stand_at_its_head(head: list[str], seller: str, address: str) -> None:
    """The same form in several countries; numbers, phone and title are part of neither."""
    assert receipt(*head) == {"seller": seller, "address": address}


def test_the_company_wins_over_its_brand() -> None:
    """The line with the legal form names who sells, the one above it a shop sign."""
    found = receipt("SUSHI CORNER", "OCEAN KITCHEN SDN. BHD. (1248446-V)", "12, JALAN TAMPOI 7/4,", "81200 JOHOR BAHRU")
    assert found["seller"] == "OCEAN KITCHEN SDN. BHD."


def test_a_name_printed_over_two_lines_is_joined() -> None:
    """A line that is only a legal form, or closes a bracket, goes on with the name above."""
    head = ["NORTHERN BOOK STORES", "CO. (M) SDN BHD", "NO 8, JALAN 7/118B,", "56000 KUALA LUMPUR"]
    assert receipt(*head)["seller"] == "NORTHERN BOOK STORES CO. (M) SDN BHD"


def test_a_customer_on_a_receipt_is_not_its_seller() -> None:
    """Tills print trade customers below "Bill to" in the very form of a letterhead."""
    found = receipt(
        "KEDAI PAPAN JAYA",
        "LOT 276 JALAN BANTING",
        "43800 DENGKIL",
        "Bill To :",
        "ALAM TRANSPORT SDN BHD",
        "NO 1 JALAN AMAN 2",
    )
    assert found == {"seller": "KEDAI PAPAN JAYA", "address": "LOT 276 JALAN BANTING 43800 DENGKIL"}


def test_a_page_without_parties_gives_none() -> None:
    """Nothing is better than a sentence taken for a company; a later page may have the value."""
    text = block(
        100, 200, "The goods remain our property until they are paid.", "Payment is due within 30 days.", "Page 2 of 2"
    )
    assert parties(Letter, text) == {}


def test_blocks_side_by_side_do_not_mix() -> None:
    """Two headings on one row each own the column below them."""
    found = parties(
        Letter,
        block(100, 100, "Seller", "Lieferant GmbH", "Am Bahnhof 42", "80333 München"),
        block(500, 100, "Bill to", "Kunden AG", "Kundenweg 15", "69876 Frankfurt"),
    )
    assert found == {
        "seller": "Lieferant GmbH",
        "seller_address": "Am Bahnhof 42 80333 München",
        "buyer": "Kunden AG",
        "buyer_address": "Kundenweg 15 69876 Frankfurt",
    }


def test_the_schema_s_own_labels_are_headings() -> None:
    """A user whose papers say "Payer" need not change code."""
    found = parties(Letter, block(100, 100, "Payer:", "Jane Roe", "1 High Street", "Leeds LS1 4AP"))
    assert found == {"buyer": "Jane Roe", "buyer_address": "1 High Street Leeds LS1 4AP"}


def test_names_are_read_from_a_table_of_keys() -> None:
    """Forms print "Name:" beside the name, which may be wrapped around its key's line."""
    keys = block(100, 100, "Verkäufer", "Nummer:", "", "Name:", "", "Anschrift:")
    values = block(400, 100, "", "549910", "", "", "", "Lindenallee 3", "12345 Berlin")
    wrapped = [
        TextLine("Erste Allgemeine", Box(400, 157, 544, 175)),
        TextLine("Versicherung a.G.", Box(400, 175, 553, 193)),
    ]
    found = parties(Letter, keys, values, wrapped)
    assert found["seller"] == "Erste Allgemeine Versicherung a.G."
    assert found["seller_address"] == "Lindenallee 3 12345 Berlin"


def test_a_value_beside_its_heading_is_the_party() -> None:
    """Where nothing stands below the heading, its right neighbour begins the block."""
    found = parties(
        Letter, block(100, 100, "Client :"), block(300, 100, "Hôtel du Lac", "42 rue du Stade", "69001 Lyon")
    )
    assert found["buyer"] == "Hôtel du Lac"


def test_a_letter_without_headings_has_sender_and_addressee() -> None:
    """The sender has the legal form and numbers, the addressee a salutation."""
    found = parties(
        Letter,
        block(100, 60, "Nordlicht Energie AG", "Hafenstraße 1", "20457 Hamburg", "Tel. 040 123456"),
        block(100, 260, "Herrn", "Max Muster", "Lindenweg 7", "12346 Musterhausen"),
    )
    assert (found["seller"], found["buyer"]) == ("Nordlicht Energie AG", "Herrn Max Muster")


@pytest.mark.parametrize(
    ("heading", "buyer"),
    [
        ("Bill to", ["Jane Doe", "5 Elm Avenue", "Leeds LS1 4AP"]),
        ("Rechnungsempfänger", ["Beispiel AG", "Hauptstr. 10", "10115 Berlin"]),
        ("Facturé à :", ["Jean Martin", "3 avenue Foch", "31200 Toulouse"]),
        ("Klant", ["Bakkerij de Wit", "Dorpsstraat 4", "1234 AB Utrecht"]),
        ("Cliente", ["Ana García López", "Plaza España 3", "46007 Valencia"]),
        ("Spett.le", ["Bianchi S.p.A.", "Corso Italia 22", "10121 Torino (TO)"]),
        ("Destinatário", ["João Silva", "Rua Augusta 5", "1100-053 Lisboa"]),
    ],
)
def test_headings_are_known_in_several_languages(heading: str, buyer: list[str]) -> None:
    """The schema need not list what every invoice of a country prints."""
    found = parties(
        Letter,
        block(600, 60, "Jansen Installatie B.V.", "Kerkweg 9", "5611 AB Eindhoven"),
        block(60, 260, heading, *buyer),
    )
    assert (found["seller"], found["buyer"]) == ("Jansen Installatie B.V.", buyer[0])
    assert found["buyer_address"] == " ".join(buyer[1:])


def test_a_letterhead_in_one_line_names_the_seller() -> None:
    """Name, street and town between dashes, as in the line above an address window."""
    found = parties(
        Letter,
        block(100, 30, "Au bon moulin SARL - 1242 chemin de l'olive - 84340 Malaucène"),
        block(500, 200, "Ma jolie boutique", "35 rue de la République", "69001 Lyon"),
    )
    assert (found["seller"], found["buyer"]) == ("Au bon moulin SARL", "Ma jolie boutique")


def test_who_owns_the_web_address_is_the_seller() -> None:
    """Two like blocks at the top are told apart by the footer's mail address."""
    found = parties(
        Letter,
        block(100, 100, "Adatum Corporation", "Station Road, 21", "48436 Düsseldorf"),
        block(600, 100, "Cronus", "Hofstraße 12", "20097 Hamburg"),
        block(100, 1300, "info@cronus.com"),
    )
    assert (found["seller"], found["buyer"]) == ("Cronus", "Adatum Corporation")


def test_a_delivery_address_is_nobody_s() -> None:
    """Goods may go to a third party, whose block looks like the buyer's."""
    found = parties(
        Letter,
        block(100, 60, "Seller", "Lieferant GmbH", "Am Bahnhof 42", "80333 München"),
        block(100, 260, "Lieferadresse", "Lager Nord", "Hafenstraße 9", "20457 Hamburg"),
    )
    assert "buyer" not in found


@pytest.mark.parametrize(
    "sender", ["Papierhaus Sonnleitner · Gewerbestraße 14 · 99999 Neustadt", "Gewerbestraße 14 · 99999 Neustadt"]
)
def test_below_the_line_of_the_sender_is_the_recipient(sender: str) -> None:
    """DIN 5008 prints it above the address window; the recipient may have a legal form and the sender none."""
    found = parties(
        Letter,
        block(100, 60, "Papierhaus Sonnleitner", "Tel. 0999 123456"),
        block(100, 230, sender, "Kanzlei Brandt GmbH", "Einkauf", "Lindenallee 3", "99998 Neudorf"),
        block(100, 700, "Invoice 17"),
    )
    assert (found["seller"], found["buyer"]) == ("Papierhaus Sonnleitner", "Kanzlei Brandt GmbH")


def test_large_type_at_the_top_is_a_name_whatever_its_words() -> None:
    """Names hold the names of streets; two lines in one large type are one name."""
    large = [
        TextLine(text, Box(100, y, 400, y + 32))
        for text, y in (("Studio", 60), ("Paolo Ferrante", 96), ("Via Bassi 9, 40121 Bologna", 500))
    ]
    found = parties(
        Letter,
        large[:2],
        block(100, 140, "Via Ugo Bassi 9", "40121 Bologna", "Tel. 051 123"),
        block(100, 400, "a", "b"),
    )
    assert found["seller"] == "Studio Paolo Ferrante"
    garage = [TextLine("Garage de la rue Haute", Box(100, 60, 500, 92))]
    found = parties(Letter, garage, block(100, 100, "31000 Toulouse", "Tel. 05 61 55"), block(100, 400, "a", "b"))
    assert found["seller"] == "Garage de la rue Haute"


def test_a_number_beside_a_heading_makes_it_the_key_of_the_number() -> None:
    """The line "Kunde  20881" has a customer's number, and the line below it nobody's name."""
    found = parties(
        Letter,
        block(100, 60, "Druckhaus Nord GmbH", "Am Kanal 3", "49808 Lingen", "Tel. 0591 888"),
        [*block(100, 200, "Kunde", "Zahlungsart"), *block(300, 200, "20881", "Lastschrift")],
        block(100, 300, "Tanzschule Meyer", "Burgstr. 2", "49808 Lingen"),
    )
    assert found["buyer"] == "Tanzschule Meyer"


def test_what_follows_to_is_the_recipient() -> None:
    """Short words are headings before a colon; what stands first below a heading is a name, whatever it looks like."""
    seller = block(100, 60, "Gwen Parry", "19 Picton Street", "Bristol BS6 5PZ", "Tel. 07700 900418")
    found = parties(Letter, seller, block(100, 300, "To: Cwtch Coffee", "2 Arcade Street", "Cardiff CF10 1FA"))
    assert found["buyer"] == "Cwtch Coffee"
    house = block(100, 300, "Spett.le", "Condominio Via Rossi 8", "Via Rossi 8", "40135 Bologna")
    assert parties(Letter, seller, house)["buyer"] == "Condominio Via Rossi 8"


def test_a_heading_is_matched_letter_by_letter() -> None:
    """The word "Facture" is one letter from "Facturé à", "Invoice no" from "Invoice to"."""
    found = parties(
        Letter,
        block(100, 60, "Carrelages du Midi SARL", "14 rue des Tanneurs", "34000 Montpellier", "Tél. 04 67 55"),
        block(600, 60, "Facture", "Virement"),
        block(100, 300, "Madame Lefranc", "3 impasse des Oliviers", "34970 Lattes"),
    )
    assert found["buyer"] == "Madame Lefranc"
