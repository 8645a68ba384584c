from typing import Any

import pytest

from search.domains import (
    Domain,
    config_key,
    configuration,
    domains,
    is_written,
    one_at_a_time,
    outside,
)
from spaces import lenet_beans
from tests.search_tests.toy import DEFAULTS, space

CHOICE = Domain("kernel", choices=(3, 5, 7))
RATES = Domain("rate", choices=(0.0003, 0.001))
WORDS = Domain("kind", choices=("none", "l1"))
STEPPED = Domain("drop", low=0.0, high=0.6, step=0.2)
LOG = Domain("rate", low=1e-5, high=1e-1, log=True)
PLAIN = Domain("share", low=0.0, high=1.0)
WHOLE = Domain("depth", low=2, high=8, step=3, integer=True)
WHOLE_LOG = Domain("width", low=1, high=256, log=True, integer=True)
UNEVEN = Domain("uneven", low=0.0, high=0.5, step=0.2)  # Optuna draws 0, 0.2 and 0.4


def test_conditional_names_are_found_in_the_order_of_asking() -> None:
    found = domains(space, DEFAULTS)
    assert list(found) == ["kind", "rate", "drop", "depth"]
    assert found["depth"] == Domain("depth", (), 1, 3, 1, False, True)
    assert found["rate"] == Domain("rate", (), 1e-4, 1e-1, None, True, False)


def test_of_what_is_held_no_other_choice_brings_names() -> None:
    assert list(domains(space, {**DEFAULTS, "kind": "a"}, held=["kind"])) == [
        "kind",
        "rate",
        "drop",
    ]
    assert "depth" in domains(space, {**DEFAULTS, "kind": "b"}, held=["kind"])
    assert "depth" in domains(space, {**DEFAULTS, "kind": "a"}, held=["rate"])


def test_lenet_beans_offers_the_nine_hyperparameters_of_the_design() -> None:
    found = domains(lenet_beans.space, lenet_beans.DEFAULTS)
    assert set(found) == {
        *("regularizer", "strength", "dropout", "kernel_size", "filters"),
        *("learning_rate", "batch_size", "augmentation", "image_size"),
    }
    assert all(found[name].contains(value) for name, value in lenet_beans.DEFAULTS.items())


def test_names_beneath_a_choice_beneath_a_choice_are_found() -> None:
    def nested(trial: Any) -> dict[str, Any]:
        config = {"optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"])}
        if config["optimizer"] == "sgd":
            config["momentum"] = trial.suggest_categorical("momentum", ["none", "plain"])
            if config["momentum"] == "plain":
                config["damping"] = trial.suggest_float("damping", 0.0, 1.0)
        return config

    assert list(domains(nested, {"optimizer": "adam"})) == ["optimizer", "momentum", "damping"]


def test_names_that_a_whole_number_brings_are_found() -> None:
    def layered(trial: Any) -> dict[str, Any]:
        config = {"layers": trial.suggest_int("layers", 1, 3)}
        for each in range(config["layers"]):
            config[f"units_{each}"] = trial.suggest_int(f"units_{each}", 8, 64, log=True)
        config["epochs"] = trial.suggest_int("epochs", 10, 90, step=20)  # 90 by its steps
        if config["epochs"] == 90:
            config["decay"] = trial.suggest_float("decay", 0.0, 1.0)
        config["width"] = trial.suggest_int("width", 1, 1000)
        if config["width"] > 999:
            config["sparse"] = trial.suggest_categorical("sparse", [True, False])
        return config

    found = domains(layered, {"layers": 1, "epochs": 10, "width": 7})
    assert sorted(found) == sorted(
        ["layers", "units_0", "units_1", "units_2", "epochs", "decay", "width", "sparse"]
    )


def of_optimizers(trial: Any) -> dict[str, Any]:
    """A range that hangs on a choice: 0.05 is for one of two alone."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    high = 0.1 if optimizer == "sgd" else 0.01
    return {"optimizer": optimizer, "rate": trial.suggest_float("rate", 0.001, high, log=True)}


def test_what_lies_outside_is_told_by_the_range_beside_the_other_values() -> None:
    assert outside(of_optimizers, {"optimizer": "sgd", "rate": 0.05}) == []
    adam = {"optimizer": "adam", "rate": 0.05}
    assert outside(of_optimizers, adam) == [Domain("rate", (), 0.001, 0.01, None, True)]
    assert outside(of_optimizers, adam, held=["rate"]) == []
    assert outside(of_optimizers, {"optimizer": "adam", "rate": 0.01}) == []


@pytest.mark.parametrize(
    ("domain", "text", "value"),
    [
        (CHOICE, "5", 5),
        (CHOICE, "5.0", 5),
        (RATES, "1e-3", 0.001),
        (WORDS, "l1", "l1"),
        (STEPPED, "0.4", 0.4),
        (STEPPED, "0", 0.0),
        (LOG, "1e-5", 1e-5),
        (LOG, "0.1", 0.1),
        (PLAIN, "0.123", 0.123),
        (WHOLE, "8", 8),
        (WHOLE_LOG, "100", 100),
    ],
)
def test_parse_takes_what_the_domain_contains(domain: Domain, text: str, value: Any) -> None:
    parsed = domain.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)
    assert domain.contains(parsed)


@pytest.mark.parametrize(
    ("domain", "text", "valid"),
    [
        (CHOICE, "4", "3, 5, 7"),
        (CHOICE, "", "3, 5, 7"),
        (WORDS, "L1", "none, l1"),
        (STEPPED, "0.3", r"0 to 0.6 in steps of 0.2"),
        (STEPPED, "0.8", "0 to 0.6"),
        (STEPPED, "much", "0 to 0.6"),
        (LOG, "nan", r"1e-05 to 0.1 \(log scale\)"),
        (LOG, "inf", "1e-05 to 0.1"),
        (LOG, "-1", "1e-05 to 0.1"),
        (PLAIN, "1.01", "0 to 1; got '1.01'"),
        (WHOLE, "3", "whole numbers 2 to 8 in steps of 3"),
        (WHOLE, "5.0", "whole numbers 2 to 8"),
        (WHOLE_LOG, "0", r"whole numbers 1 to 256 \(log scale\)"),
    ],
)
def test_parse_refuses_and_lists_what_is_valid(domain: Domain, text: str, valid: str) -> None:
    one_of = "" if domain in (STEPPED, LOG, PLAIN) else "one of "  # of ranges, not of lists
    with pytest.raises(ValueError, match=rf"^{domain.name} must be {one_of}{valid}"):
        domain.parse(text)


@pytest.mark.parametrize(
    ("domain", "value", "inside"),
    [
        (CHOICE, 7, True),
        (CHOICE, 9, False),
        (STEPPED, 0.6000000000000001, False),
        (STEPPED, 0.2 * 3 - 1e-16, True),
        (PLAIN, "0.5", False),
        (PLAIN, float("nan"), False),
        (WHOLE, 5, True),
        (WHOLE, 4, False),
        (WHOLE_LOG, 2.5, False),
        (WHOLE_LOG, 3, True),
    ],
)
def test_contains(domain: Domain, value: Any, inside: bool) -> None:
    assert domain.contains(value) is inside


@pytest.mark.parametrize(
    ("domain", "points"),
    [
        (CHOICE, [3, 5, 7]),
        (STEPPED, [0.0, 0.2, 0.4, 0.6]),
        (PLAIN, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (LOG, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
        (WHOLE, [2, 5, 8]),
        (WHOLE_LOG, [1, 4, 16, 64, 256]),
        (UNEVEN, [0.0, 0.2, 0.4]),
        (Domain("few", low=1, high=3, log=True, integer=True), [1, 2, 3]),  # 1.3, 1.7, 2.3
        (Domain("five", low=1, high=5, log=True, integer=True), [1, 2, 3, 4, 5]),
    ],
)
def test_sweep_points_by_hand(domain: Domain, points: list[Any]) -> None:
    assert domain.sweep() == pytest.approx(points, rel=1e-12)
    assert all(domain.contains(point) for point in domain.sweep())
    assert {type(point) for point in domain.sweep()} == {type(point) for point in points}


@pytest.mark.parametrize(
    ("domain", "more"),
    [
        (CHOICE, False),
        (STEPPED, False),
        (WHOLE, False),
        (LOG, True),
        (WHOLE_LOG, True),
        (Domain("five", low=1, high=5, log=True, integer=True), False),
        (Domain("six", low=1, high=6, log=True, integer=True), True),
        (Domain("one", low=0.5, high=0.5), False),
    ],
)
def test_which_have_more_values_than_a_sweep(domain: Domain, more: bool) -> None:
    assert domain.endless is more


def test_a_whole_number_of_a_range_of_floats_is_the_float() -> None:
    def dropped(trial: Any) -> dict[str, Any]:
        return {"drop": trial.suggest_float("drop", 0, 4, step=1)}

    (found,) = (configuration(dropped, {"drop": 0}),)
    assert type(found["drop"]) is float
    assert [type(each) for each in domains(dropped, {})["drop"].sweep()] == [float] * 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0, 0.0, True),
        (0.0, -0.0, True),
        (3, 3.0, True),
        (10**16, 1e16, True),
        (10**16 + 1, 1e16, False),  # a float has no such number
        (0.1, 0.10000000000000002, False),
        (0, False, False),
        (1.0, True, False),
        ("0", 0, False),
    ],
)
def test_numbers_that_are_equal_make_one_configuration(one: Any, other: Any, same: bool) -> None:
    keys = [config_key({"a": each, "b": "x"}) for each in (one, other)]
    assert (keys[0] == keys[1]) is same


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("0", 0.0, True),
        ("0.0", 0, True),
        ("1e-3", 0.001, True),
        ("10000000000000001", 10**16 + 1, True),
        ("10000000000000001", 1e16, False),
        ("True", True, True),
        ("1", True, False),
        ("1", "1.0", False),
        ("", 0, False),
    ],
)
def test_how_a_value_is_written(text: str, value: Any, same: bool) -> None:
    assert is_written(text, value) is same


def test_the_highest_share_of_an_uneven_range_is_its_last_step() -> None:
    assert [UNEVEN.at(share) for share in (0.0, 0.5, 0.9, 1.0)] == [0.0, 0.2, 0.4, 0.4]


def test_configuration_drops_names_not_in_force_and_unknown_ones() -> None:
    assert configuration(space, {**DEFAULTS, "colour": 1}) == {
        "kind": "a",
        "rate": 1e-3,
        "drop": 0.0,
    }
    assert configuration(space, {**DEFAULTS, "kind": "b"})["depth"] == 2


def test_configuration_takes_first_or_lowest_for_what_is_not_given() -> None:
    assert configuration(space, {"kind": "b"}) == {
        "kind": "b",
        "depth": 1,
        "rate": 1e-4,
        "drop": 0.0,
    }


def test_one_at_a_time_by_hand() -> None:
    known = domains(space, DEFAULTS)
    rows = list(one_at_a_time(space, DEFAULTS, known, ["drop", "kind"]))
    assert rows == [
        {"kind": "a", "rate": 1e-3, "drop": 0.0},  # the published one, once only
        {"kind": "a", "rate": 1e-3, "drop": 0.2},
        {"kind": "a", "rate": 1e-3, "drop": 0.4},
        {"kind": "a", "rate": 1e-3, "drop": 0.6},
        {"kind": "b", "depth": 2, "rate": 1e-3, "drop": 0.0},
    ]


def test_one_at_a_time_has_nothing_for_a_name_not_in_force() -> None:
    known = domains(space, DEFAULTS)
    assert len(list(one_at_a_time(space, DEFAULTS, known, ["depth"]))) == 1
    in_force = {**DEFAULTS, "kind": "b"}
    depths = [c["depth"] for c in one_at_a_time(space, in_force, known, ["depth"])]
    assert depths == [2, 1, 3]


def even(text: str) -> int:
    if int(text) % 2:
        raise ValueError(f"must be even; got {text!r}")
    return int(text)


READ = Domain("width", choices=(2, 4), reader=even)


def test_a_reader_takes_more_than_the_searched_choices() -> None:
    found = domains(space, DEFAULTS, {"depth": even})
    assert [name for name, each in found.items() if each.reader] == ["depth"]
    assert domains(space, DEFAULTS)["depth"].reader is None
    assert [READ.parse(text) for text in ("2", "8")] == [2, 8]
    assert [READ.contains(value) for value in (4, 8, 5, "x")] == [True, True, False, False]
    assert READ.sweep() == [2, 4]  # only these are searched
    with pytest.raises(ValueError, match=r"^width must be even; got '5'$"):
        READ.parse("5")
