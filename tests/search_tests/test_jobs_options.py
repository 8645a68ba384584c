"""The command line of search.submit: what is refused at once, and what is passed on."""

from pathlib import Path

import pytest

from search.errors import UsageError
from search.jobs_options import Submission, check, submit_parser

URL = "http://127.0.0.1:8265"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")


def checked(*words: str) -> Submission:
    return check(submit_parser().parse_args(words), words)


def refused(*words: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as error:
        checked(*words)
    return error.value.mistakes


def test_all_mistakes_are_told_together_before_anything_is_sent() -> None:
    words = ("lenet_beans", "--cluster", "127.0.0.1:8265", "--trials", "0", "--fix", "kernel=3")
    more = ("--address", "10.0.0.1:6379", "--cluster-results-dir", "there", "--resume")
    mistakes = refused(*words, *more, "--cluster-gpus", "some")
    text = "\n".join(mistakes)
    for part in (
        "--trials 0: must be a whole number of at least 1",
        "--fix kernel=3: no hyperparameter 'kernel'",
        "--cluster 127.0.0.1:8265: must be the URL of a Ray dashboard, such as http://",
        "--address 10.0.0.1:6379: a job runs on the Ray of its own cluster",
        "--resume needs --study NAME",
        "--cluster-results-dir there: must be an absolute path on the cluster, or a URI",
        "--cluster-gpus some: must be a whole number of at least 1",
    ):
        assert part in text, text
    assert len(mistakes) == 7


def test_paths_on_the_cluster_are_absolute() -> None:
    words = ("lenet_beans", "--cluster", URL, "--mlflow", "sqlite:///runs.db")
    assert refused(*words, "--data-dir", "data") == (
        "--data-dir data: must be an absolute path on the cluster",
        "--mlflow: must be an absolute path on the cluster",
    )
    assert refused("lenet_beans", "--cluster", URL, "--data", "folder:leaves") == (
        "--data folder:leaves: must be an absolute path on the cluster",
    )
    asked = ("inception_beans", "--cluster", URL, "--weights")
    assert refused(*asked, "w.pt") == ("--weights w.pt: must be an absolute path on the cluster",)
    for weights in ("random", "/w.pt", "~/w.pt"):
        whole = ("--data-dir", "/data", "--mlflow", "sqlite:////runs.db")
        assert checked(*asked, weights, *whole).words[0] == "inception_beans"


def test_the_cluster_and_an_experiment_must_be_given() -> None:
    assert "no experiment is given" in refused("--cluster", URL)[0]
    assert "--cluster URL is missing" in refused("lenet_beans")[0]


@pytest.mark.parametrize("url", ["http://", "ftp://a:1", "http://a:x", "http://a:1/jobs", "auto"])
def test_a_url_that_is_no_dashboards_is_refused(url: str) -> None:
    (mistake,) = refused("lenet_beans", "--cluster", url)
    assert mistake.startswith(f"--cluster {url}: must be the URL of a Ray dashboard")


def test_a_missing_token_is_told_for_the_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    (mistake,) = refused("lenet_beans", "--cluster", URL)
    assert mistake.startswith(f"--cluster {URL}: no token to join it with ({tmp_path}/none")


def test_words_of_the_search_are_passed_on_as_they_stand_and_ours_are_not(tmp_path: Path) -> None:
    asked = checked(
        *("--cluster", URL, "lenet_beans", "--trials", "3", "--fix", "kernel_size=3"),
        *("--results-dir", str(tmp_path), "--detach", "--fix=filters=6/16/120"),
        *("--data", "folder:/on/the/cluster", "--study", "mine", "--cluster-cpus", "8"),
    )
    assert asked.words == (
        *("lenet_beans", "--trials", "3", "--fix", "kernel_size=3", "--fix=filters=6/16/120"),
        *("--data", "folder:/on/the/cluster"),
    )
    assert (asked.study, asked.results, asked.detach) == ("mine", tmp_path, True)
    assert asked.job.startswith("mine-")
    assert (asked.cluster_cpus, asked.cluster_gpus) == (8, 0)


def test_following_is_the_default_and_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--cluster", URL, "lenet_beans")
    for asked in (checked(*words), checked(*words, "--follow")):
        assert (asked.detach, asked.words) == (False, ("lenet_beans",))
    with pytest.raises(SystemExit) as ended:
        checked(*words, "--follow", "--detach")
    assert ended.value.code == 2
    assert "--detach: not allowed with argument --follow" in capsys.readouterr().err


def test_what_lies_on_the_cluster_is_not_looked_for_here(tmp_path: Path) -> None:
    words = ("inception_beans", "--cluster", URL, "--weights", "/there/weights.pth")
    more = ("--study", "there", "--resume", "--results-dir", str(tmp_path))
    assert checked(*words, *more).words[-1] == "--resume"


def test_a_study_that_is_here_already_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.json").write_text("{}")
    (tmp_path / "mine" / "trials.csv").write_text("")
    words = ("lenet_beans", "--cluster", URL, "--study", "mine", "--results-dir", str(tmp_path))
    assert "--study mine: exists already" in refused(*words)[0]


def test_the_experiment_comes_first_for_what_takes_several_words() -> None:
    words = ("--warm-start", "a", "b", "--study", "x", "lenet_beans", "--cluster", URL)
    asked = checked(*words, "--trials", "3")
    assert asked.words == ("lenet_beans", "--warm-start", "a", "b", "--trials", "3")
    read = submit_parser().parse_args(asked.words)
    assert (read.experiment, read.warm_start) == ("lenet_beans", ["a", "b"])


def test_a_study_named_like_the_experiment_stays_a_study() -> None:
    words = ("--warm-start", "lenet_beans", "--trials", "3", "lenet_beans", "--cluster", URL)
    asked = checked(*words)
    assert asked.words == ("lenet_beans", "--warm-start", "lenet_beans", "--trials", "3")


@pytest.mark.parametrize(
    "words",
    [
        ("--preset", "quick", "--max-epochs", "17", "--sweep", "finetune_epochs"),
        ("--preset", "quick", "--max-epochs", "20", "--fix", "finetune_epochs=12"),
        ("--preset", "quick", "--sweep", "finetune_epochs"),  # begun by an earlier version
    ],
)
def test_epochs_of_stages_are_the_study_s_own_on_resume(words: tuple[str, ...]) -> None:
    asked = ("inception_beans", "--cluster", URL, "--study", "s", *words, "--resume")
    assert checked(*asked).words[0] == "inception_beans"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--mlflow", "http://me:secret@host:5000"), "--mlflow: holds a name or password"),
        (("--mlflow", "http://host?password=secret"), "--mlflow: holds a name or password"),
        (("--results-dir", "s3://key:secret@bucket/x"), "--results-dir: holds a key"),
        (("--cluster-results-dir", "ftp://me:secret@h/x"), "--cluster-results-dir: holds a pass"),
        (
            ("--results-dir", "s3://b/x", "--cluster-results-dir", "s3://key:secret@b/x"),
            "--cluster-results-dir: the study lies in --results-dir, a store",
        ),
        (("--warm-start", "one", "ftp://me:secret@host/two"), "--warm-start: holds a password"),
    ],
)
def test_a_secret_is_refused_and_not_told_again(words: tuple[str, ...], told: str) -> None:
    """It would go into the job's command, which the dashboard shows."""
    (mistake,) = refused("lenet_beans", "--cluster", URL, *words)
    assert mistake.startswith(told)
    assert "secret" not in mistake


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@127.0.0.1:8265",
        "https://:secret@host/jobs",
        "http://me:secret@host:port",
        "ftp://me:secret@host",
        "me:secret@127.0.0.1:8265",
    ],
)
def test_a_password_in_the_url_of_a_cluster_is_not_told_again(url: str) -> None:
    (mistake,) = refused("lenet_beans", "--cluster", url)
    assert mistake.startswith("--cluster: ")
    assert "secret" not in mistake


def test_a_missing_token_does_not_tell_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    mistakes = refused("lenet_beans", "--cluster", "http://me:secret@127.0.0.1:8265")
    assert any(line.startswith("--cluster: holds a name or password") for line in mistakes)
    assert "secret" not in "\n".join(mistakes)


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ("lenet_beans", ("--seeds", "3")),  # which goes with --sweep alone: the study may be one
        ("inception_beans", ("--max-epochs", "8")),  # fewer than the published head takes
        ("lenet_beans", ("--first-rung", "30")),  # of a study with more epochs than the preset
    ],
)
def test_what_must_fit_the_study_to_go_on_with_is_left_to_the_cluster(
    experiment: str, words: tuple[str, str]
) -> None:
    more = ("--cluster", URL, "--study", "mine", "--resume")
    assert checked(experiment, *words, *more).words == (experiment, *words, "--resume")
    assert refused(experiment, *words, "--cluster", URL)  # of a new study it is known here


@pytest.mark.parametrize("option", ["--seeds", "--max-epochs", "--first-rung"])
def test_what_is_no_number_fits_no_study_to_go_on_with(option: str) -> None:
    words = ("lenet_beans", "--cluster", URL, "--study", "mine", "--resume", option, "x")
    assert refused(*words) == (f"{option} x: must be a whole number of at least 1",)


def test_a_place_of_data_that_goes_with_other_data_is_told_as_it_was_typed() -> None:
    words = ("lenet_beans", "--cluster", URL, "--data", "folder:/x", "--data-dir", "/y")
    told = "--data-dir /y goes with --data tfds, not with --data folder:/x"
    assert refused(*words) == (told,)
