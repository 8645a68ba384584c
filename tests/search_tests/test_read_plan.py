"""What other commands use of it; the rest is tested through `request.check`."""

from search.domains import domains
from search.options import Mistakes, build_parser
from search.read_plan import read_fixed, read_plan
from spaces import cifar10_transfer
from tests.search_tests.toy import DEFAULTS, EXPERIMENT, space

KNOWN = domains(space, DEFAULTS)


def test_values_held_by_hand() -> None:
    wrong = Mistakes()
    assert read_fixed([], KNOWN, wrong) == {}
    fixed = read_fixed(["kind=b", "depth=3", "drop=0.4"], KNOWN, wrong)
    assert fixed == {"kind": "b", "depth": 3, "drop": 0.4}
    assert isinstance(fixed["depth"], int)
    assert wrong == []


def test_every_mistake_is_told_and_the_rest_is_read() -> None:
    wrong = Mistakes()
    words = ["kind=c", "depth", "colour=red", "drop=0.2", "drop=0.4"]
    assert read_fixed(words, KNOWN, wrong) == {"drop": 0.2}
    assert wrong == [
        "--fix kind=c: kind must be one of a, b; got 'c'",
        "--fix depth: a value is missing; depth is whole numbers 1 to 3 in steps of 1",
        "--fix colour=red: no hyperparameter 'colour'; valid are depth, drop, kind, rate",
        "--fix drop=0.4: drop is already held at 0.2",
    ]


def test_a_value_beyond_the_searched_choices_is_read() -> None:
    known = domains(cifar10_transfer.space, cifar10_transfer.DEFAULTS, cifar10_transfer.READERS)
    wrong = Mistakes()
    words = ["source_classes=2,0, 1", "target_classes=9,8"]
    assert read_fixed(words, known, wrong) == {"source_classes": "0,1,2", "target_classes": "8,9"}
    assert wrong == []
    assert read_fixed(["source_classes=4"], known, wrong) == {}
    (line,) = wrong
    assert line == (
        "--fix source_classes=4: source_classes must be at least two different class numbers "
        "from 0 to 9 with commas between them, such as 0,1,2; got '4'"
    )


def test_a_sweep_that_goes_on_knows_what_the_study_holds() -> None:
    """`depth` is in force at kind=b alone, which the study holds."""
    words = ["toy", "--sweep", "depth", "--fix", "kind=b"]
    wrong = Mistakes()
    plan = read_plan(build_parser().parse_args(words), {}, EXPERIMENT, wrong)
    assert plan is not None
    again = read_plan(build_parser().parse_args(words[:3]), plan.as_json(), EXPERIMENT, wrong)
    assert again == plan
    assert wrong == []
    assert read_plan(build_parser().parse_args(words[:3]), {}, EXPERIMENT, wrong) is None
    assert "give --fix kind=b" in wrong[0]


def test_mistakes_of_other_options_do_not_hide_those_of_the_plan() -> None:
    other = "--concurrent 0: must be a whole number of at least 1"
    wrong = Mistakes([other])
    arguments = build_parser().parse_args(["toy", "--stopper", "none", "--first-rung", "2"])
    read_plan(arguments, {}, EXPERIMENT, wrong)
    assert wrong == [
        other,
        "--first-rung 2 does not go with --stopper none: nothing is stopped",
    ]
    wrong = Mistakes([other])
    arguments.trials = "0"  # of its own, which leaves nothing to check further
    assert read_plan(arguments, {}, EXPERIMENT, wrong) is None
    assert wrong == [other, "--trials 0: must be a whole number of at least 1"]
