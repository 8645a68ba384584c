import re

import pytest

from search import options
from search.options import (
    Mistakes,
    at_least,
    duration_s,
    gpu_share,
    memory_mb,
    one_of,
    study_name,
)

WHOLE = "must be a whole number of at least 1"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1h1s", 3601),
        ("0h1s", 1),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("3x", "", "30", "0s", "0h0m", "1h30", "30m1h", "-5m", "1.5h", " 5m", "5m ", "m", "5 m"),
        "9" * 400 + "h",
    ],
)
def test_durations_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a time such as 90s, 30m or 1h30m$"):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("999999h", 3_599_996_400), ("999999999h", 3_599_999_996_400)]
)
def test_durations_are_read_as_they_are_written_in_seconds(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds
    assert duration_s(f"{seconds}s") == seconds


@pytest.mark.parametrize("text", ["mine", "a.b-c_d", "2024", "_x", "a" * 100, "lenet_beans-1.5"])
def test_study_names(text: str) -> None:
    assert study_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("../x", "a/b", "a\\b", ".", "..", "", " ", "a b", ".hidden", "-x", "a\0b", "a\n"),
        *("größe", "名前", "\uff5ex", "x\u202e", "/etc", "~", "a:b", "*", "a" * 101),
    ],
)
def test_study_names_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a plain name of up to 100 letters"):
        study_name(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("auto", None), ("0", 0.0), ("0.25", 0.25), ("1", 1.0), ("2", 2.0), ("1e-2", 0.01)],
)
def test_gpu_shares(text: str, share: float | None) -> None:
    assert gpu_share(text) == share


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "-inf", "all", "", "1.5", "0.001", "1e9"])
def test_gpu_shares_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be auto, 0, a share of a GPU such as 0.25, or a"):
        gpu_share(text)


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [("auto", None), ("900M", 900), ("2G", 2048), ("1.5G", 1536), ("700", 700), ("700.0", 700)],
)
def test_sizes_of_memory(text: str, megabytes: float | None) -> None:
    assert memory_mb(text) == megabytes


@pytest.mark.parametrize("text", ["0", "0.5M", "-1G", "2T", "2 G", "G", "1e3", "nan", "٣G"])
def test_sizes_of_memory_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be auto or a size such as 900M or 2G$"):
        memory_mb(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("007", 7), ("123456", 123456)])
def test_whole_numbers(text: str, value: int) -> None:
    assert at_least(1)(text) == value


@pytest.mark.parametrize(
    "text", ["0", "-3", "abc", "", "1.0", "1e3", " 1", "1_0", "0x1", "+1", "٣"]
)
def test_whole_numbers_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{WHOLE}$"):
        at_least(1)(text)


def test_zero_where_it_is_allowed() -> None:
    assert at_least(0)("0") == 0
    with pytest.raises(ValueError, match="at least 0"):
        at_least(0)("-1")


def test_words() -> None:
    read = one_of(("asha", "none"))
    assert read("none") == "none"
    for text in ("None", "", "as", "asha "):
        with pytest.raises(ValueError, match=r"^must be one of asha, none$"):
            read(text)


def test_mistakes_are_collected_one_line_each() -> None:
    wrong = Mistakes()
    assert wrong.parse("--trials", None, at_least(1)) is None
    assert wrong.parse("--trials", "3", at_least(1)) == 3
    assert wrong == []
    assert wrong.parse("--trials", "0", at_least(1)) is None
    assert wrong.parse("--time-budget", "3x", duration_s) is None
    assert wrong == [
        f"--trials 0: {WHOLE}",
        "--time-budget 3x: must be a time such as 90s, 30m or 1h30m",
    ]


def test_what_may_hold_a_secret_is_not_in_its_mistake() -> None:
    wrong = Mistakes()
    assert wrong.parse("--trials", "secret", at_least(1), shown=False) is None
    assert wrong == [f"--trials: {WHOLE}"]


def test_every_option_is_absent_unless_given() -> None:
    parsed = vars(options.build_parser().parse_args(["lenet_beans"]))
    given = {name: value for name, value in parsed.items() if value not in (None, False)}
    assert given == {"experiment": "lenet_beans", "results_dir": "results", "address": "local"}


def test_repeated_options_add_up() -> None:
    words = ["x", "--fix", "a=1", "--fix", "b=2", "--sweep", "c", "--sweep", "d"]
    parsed = options.build_parser().parse_args(words)
    assert (parsed.fix, parsed.sweep) == (["a=1", "b=2"], ["c", "d"])


def test_a_negative_number_is_a_value_not_an_option() -> None:
    assert options.build_parser().parse_args(["x", "--trials", "-3"]).trials == "-3"


def test_help_names_every_option_and_exit_code() -> None:
    text = options.build_parser().format_help()
    listed = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    assert listed == {
        *("--trials", "--max-epochs", "--seed", "--preset", "--study", "--resume"),
        *("--results-dir", "--data", "--data-dir", "--fix", "--sweep", "--sampler", "--stopper"),
        *("--concurrent", "--cpus-per-trial", "--gpus-per-trial", "--address", "--time-budget"),
        *("--dry-run", "--list", "--precision", "--weights", "--trial-timeout", "--warm-start"),
        *("--seeds", "--memory-per-trial", "--tensorboard", "--mlflow", "--first-rung"),
        *("--compare-by",),
    }
    assert "130 interrupted" in text


READERS = {
    "whole": at_least(1),
    "word": one_of(("x",)),
    "share": gpu_share,
    "duration": duration_s,
    "memory": memory_mb,
    "name": study_name,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["", "\0", "9" * 5000, "🌱", "b" * 10_000, "\n", "--", "="])
def test_whatever_is_given_the_answer_is_one_short_line(reader: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be [^\n]{5,120}$"):
        READERS[reader](text)


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (["lenet_beans", "--bogus"], "unrecognized arguments: --bogus"),
        (["lenet_beans", "--bogus", "3"], "unrecognized arguments: --bogus 3"),
        (["lenet_beans", "mnist_cnn"], "unrecognized arguments: mnist_cnn"),
        (["lenet_beans", "--trials"], "argument --trials: expected one argument"),
        (["lenet_beans", "--trial", "0"], "unrecognized arguments: --trial 0"),  # not --trials
        (["lenet_beans", "--res"], "unrecognized arguments: --res"),
        (["lenet_beans", "-x"], "unrecognized arguments: -x"),
        (["lenet_beans", "a\nb\x1b[2J"], r"unrecognized arguments: a\nb\x1b[2J"),
        (["lenet_beans", "--resume=x"], "argument --resume: ignored explicit argument 'x'"),
    ],
)
def test_what_argparse_refuses_is_one_line(
    words: list[str], mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        options.build_parser().parse_args(words)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"python -m search.run: {mistake} (see --help)\n")
