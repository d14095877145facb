"""The language of a mail: the first of the reader's that ships, with the region that writes their dates."""

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from functions.mail.locales import LANGUAGES, choose


@pytest.mark.parametrize(
    ("tag", "language", "locale"),
    [
        ("ja", "ja", "ja"),
        ("ja-JP", "ja", "ja_JP"),
        ("en", "en", "en"),
        ("EN", "en", "en"),
        ("en-GB", "en", "en_GB"),
        ("en-gb", "en", "en_GB"),
        ("en_US", "en", "en_US"),
        ("en-150", "en", "en_150"),
        ("en-Latn-AU", "en", "en_AU"),
        ("ja-JP-u-ca-japanese", "ja", "ja_JP"),
    ],
)
def test_a_language_that_ships_is_chosen_with_its_region(tag: str, language: str, locale: str) -> None:
    default = next(other for other in LANGUAGES if other != language)
    assert choose([tag], default) == (language, Locale.parse(locale))


@pytest.mark.parametrize("tag", ["en-BR", "en-999", "en-ZZ", "en-u-ca-gregory", "en-x-fr"])
def test_a_region_that_cldr_has_nothing_about_is_left_out(tag: str) -> None:
    assert choose([tag], "ja") == ("en", Locale("en"))


@pytest.mark.parametrize(
    "tag",
    [
        None,
        "",
        " ",
        "auto",
        "zh",
        "zh-Hant",
        "fr-CA",
        "e",
        "eng",
        "english",
        "en-",
        "-en",
        "en--GB",
        "en GB",
        " en",
        "en\n",
        "en;q=0.9",
        "en.UTF-8",
        "../en",
        "ｅｎ",
        "en-ſa",
        "en-" + "a" * 9,
        "en" + "-abc" * 1_250,
        "e" * 5_000,
        "\0",
        "\ud800",
    ],
)
def test_what_does_not_ship_or_is_not_a_tag_is_passed_over(tag: str | None) -> None:
    assert choose([tag], "ja") == ("ja", Locale("ja"))


def test_the_first_that_ships_is_chosen() -> None:
    assert choose([None, "auto", "fr", "en-GB", "ja"], "ja") == ("en", Locale("en", territory="GB"))


def test_without_preferences_the_default_is_chosen() -> None:
    assert choose([], "ja-JP") == ("ja", Locale("ja", territory="JP"))


@pytest.mark.parametrize("default", ["fr", "", "auto"])
def test_a_default_that_does_not_ship_is_an_error(default: str) -> None:
    with pytest.raises(ValueError, match="none of the languages"):
        choose(["fr"], default)


@given(st.lists(st.none() | st.text() | st.from_regex(r"(en|ja)[-_][a-zA-Z0-9_-]{1,12}")))
def test_whatever_is_preferred_a_language_that_ships_is_chosen(preferred: list[str | None]) -> None:
    language, locale = choose(preferred, "ja")
    assert language in LANGUAGES
    assert locale.language == language
