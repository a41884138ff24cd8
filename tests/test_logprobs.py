"""Which tokens of an output spell which value."""

import itertools
import json
import random

import pytest

from pipeline.trust.logprobs import MOST_NESTED, field_logprobs


def _tokens(*pieces: str) -> list[tuple[str, float]]:
    """Give token number n the log-probability -n, so that a result names its tokens."""
    return [(piece, -float(number)) for number, piece in enumerate(pieces)]


def _of(*pieces: str) -> dict[str, float]:
    return field_logprobs(_tokens(*pieces), "".join(pieces))


def test_a_value_has_the_least_of_its_tokens() -> None:
    """A number is as sure as its least sure digit."""
    tokens = [('{"', 0.0), ("total", 0.0), ('":"', -9.0), ("11", -0.1), ("9", -2.5), (".00", -0.2), ('"}', -7.0)]
    assert field_logprobs(tokens, '{"total":"119.00"}') == {"total": -2.5}


def test_a_token_over_a_boundary_counts_for_both_values() -> None:
    """Tokens know nothing of fields: one may end a value, name the next and begin it."""
    assert _of('{"a":"x', 'y","b":"z', 'w"}') == {"a": -1.0, "b": -2.0}


def test_quotes_and_names_do_not_count() -> None:
    """The grammar asks for them; a model that would have written a number bare is not unsure of the number."""
    assert _of('{"', "a", '":', '"', "1", '"', ',"b":', "7", "}") == {"a": -4.0, "b": -7.0}


def test_items_of_lists_have_their_place() -> None:
    """Paths are those of the evidence."""
    text = '{"a":[{"q":1,"p":"2"},{"q":3,"p":null}],"t":["x","","y"],"n":{"m":true}}'
    paths = set(field_logprobs(_tokens(*text), text))
    assert paths == {"a[0].q", "a[0].p", "a[1].q", "t[0]", "t[2]", "n.m"}


def test_escapes_do_not_end_a_value() -> None:
    """A quote within a name, a backslash before the closing quote."""
    values = {"a": 'The "Mill"', "b": "C:\\", "c": "x\ny", "d": "é€"}
    text = json.dumps(values)
    found = field_logprobs(_tokens(*text), text)
    assert set(found) == set(values)
    assert found["a"] == -float(text.index('\\"", "b"') + 1)


def test_white_space_and_fences_around_do_not_matter() -> None:
    """An output without a grammar has remarks, fences and indents."""
    text = 'Here it is:\n```json\n{\n  "a" : "x" ,\n  "b" : [ 1 , 2 ]\n}\n```'
    assert set(field_logprobs(_tokens(*text), text)) == {"a", "b[0]", "b[1]"}


def test_a_character_of_several_tokens_counts_with_all_of_them() -> None:
    """Bytes of one character are tokens of their own; the text comes with the last of them."""
    tokens = [('{"a":"', 0.0), ("Caf", -1.0), ("", -5.0), ("é", -2.0), ('"}', 0.0)]
    assert field_logprobs(tokens, '{"a":"Café"}') == {"a": -5.0}


def test_a_cut_output_gives_what_there_is() -> None:
    """What was salvaged of it has its log-probabilities, too."""
    text = '{"a":"x","b":{"c":"unfini'
    assert set(field_logprobs(_tokens(*text), text)) == {"a", "b.c"}


def test_plain_text_has_its_mean() -> None:
    """Of a thousand tokens one is always unsure."""
    assert field_logprobs([("a", -1.0), ("b", -3.0)], "ab", plain_text_field="text") == {"text": -2.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[", '{"a', '{"a":', '{"a":}', '{"a":tru', "no", '{"a":"\\', "{,}", "[1,,]", "}{"]
)
def test_what_is_no_json_gives_no_value_or_a_part_of_one(text: str) -> None:
    """Models write anything; nothing may fail on it."""
    assert set(field_logprobs(_tokens(*text), text)) <= {"a"}


def test_tokens_of_another_text_say_nothing() -> None:
    """A value must not be called sure by the tokens of another try."""
    assert field_logprobs(_tokens("x"), '{"a":1}') == {}
    assert field_logprobs((), '{"a":1}') == {}


def test_an_output_that_only_opens_brackets_ends() -> None:
    """Nesting is bounded, so that no output exhausts the stack."""
    text = '{"a":' + "[" * 20_000
    assert field_logprobs(_tokens(text), text) == {}
    deep = '{"a":' * (MOST_NESTED - 1) + "1"
    assert len(field_logprobs(_tokens(deep), deep)) == 1


def test_any_cut_into_tokens_gives_each_value_its_own() -> None:
    """However a tokenizer cuts, the least sure token that touches a value is found, and no other."""
    text = json.dumps(
        {"a": "x\\y", "b": [{"c": 12.5, "d": "é"}, {"c": -3, "d": None}], "e": "z" * 9}, ensure_ascii=False
    )
    whole = field_logprobs(_tokens(*text), text)
    chooser = random.Random(7)
    for _ in range(100):
        cuts = sorted({0, len(text), *chooser.sample(range(len(text)), 12)})
        pieces = [text[start:end] for start, end in itertools.pairwise(cuts)]
        found = field_logprobs(_tokens(*pieces), text)
        # By character, token n is at -n; the last character of a value lies in the token with the least of it.
        in_token = [number for number, piece in enumerate(pieces) for _ in piece]
        assert found == {path: -float(in_token[int(-value)]) for path, value in whole.items()}
