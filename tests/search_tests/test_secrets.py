"""What a place of studies holds that is secret is refused, and not told again."""

import pytest

from search.errors import UsageError
from search.options import build_parser
from search.request import check
from search.resolve import resolve_studies, resolve_study
from trainables.errors import TrellisError

PLACES = [
    ("s3://key:secret@bucket/x", "holds a key"),
    ("ftp://me:secret@host/x", "holds a password"),
    ("abfs://box@account/x?client_secret=secret", "holds a password"),
]


@pytest.mark.parametrize(("place", "why"), PLACES)
def test_a_place_to_search_in(place: str, why: str) -> None:
    words = ["lenet_beans", "--data", "embedded", "--results-dir", place]
    with pytest.raises(UsageError) as error:
        check(build_parser().parse_args(words))
    (line,) = error.value.mistakes
    assert line.startswith(f"--results-dir: {why}")
    assert "secret" not in line


@pytest.mark.parametrize(("place", "why"), PLACES)
def test_a_place_to_read_from(place: str, why: str) -> None:
    uri, mark, settings = place.partition("?")
    for study, results in (("mine", place), (f"{uri}/mine{mark}{settings}", "results")):
        with pytest.raises(TrellisError, match=f"^the place of the study {why}") as error:
            resolve_study(study, results)
        assert "secret" not in str(error.value)
        with pytest.raises(UsageError, match=f"^the place of the study {why}"):
            resolve_studies([study], results)


def test_a_place_without_a_secret_is_told() -> None:
    with pytest.raises(TrellisError, match=r"^study 'a b' in s3://bucket/x: must be a plain"):
        resolve_study("a b", "s3://bucket/x")
