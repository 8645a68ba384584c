"""Contenders and confirm.json, by hand."""

import json
import math
from typing import Any

import pytest

from search.contenders import Contender, best_contenders, listed_contenders
from search.judging import FIELDS
from search.records import Record
from search.verdict import verdict
from tests.search_tests.toy import DEFAULTS, EXPERIMENT, row

PUBLISHED = {"kind": "a", "rate": 1e-3, "drop": 0.0}


def record(
    number: int, config: dict[str, Any], accuracy: float, status: str = "completed"
) -> Record:
    return Record(number, status, config, number, (row(1, accuracy),))


def configs(found: list[Contender]) -> list[tuple[int, float, bool, float | None]]:
    return [(each.number, each.config["rate"], each.published, each.searched) for each in found]


def test_the_best_distinct_ones_and_the_published_one() -> None:
    def other(rate: float) -> dict[str, Any]:
        return {**PUBLISHED, "rate": rate}

    records = [
        record(0, PUBLISHED, 0.5),
        record(1, other(0.02), 0.7),
        record(2, other(0.03), 0.9, "failed"),
        record(3, other(0.04), 0.8, "stopped"),
        record(4, other(0.02), 0.75),  # once more, better
        record(5, other(0.05), 0.6),
    ]
    assert configs(best_contenders(EXPERIMENT, {}, records, 2)) == [
        (1, 0.04, False, 0.8),
        (2, 0.02, False, 0.75),
        (3, 1e-3, True, 0.5),
    ]
    assert len(best_contenders(EXPERIMENT, {}, records, 9)) == 4


def test_the_published_one_is_there_without_a_trial_of_its_own() -> None:
    found = best_contenders(EXPERIMENT, {"drop": 0.2}, [record(0, PUBLISHED, 0.5)], 1)
    assert [each.published for each in found] == [False, True]
    assert found[1].config == {**PUBLISHED, "drop": 0.2}
    assert found[1].searched is None


def test_a_whole_number_and_the_float_are_one_configuration() -> None:
    """Journals of earlier versions hold 0 where today's hold 0.0."""
    old = {**PUBLISHED, "drop": 0}
    records = [record(0, old, 0.5), record(1, {**PUBLISHED, "rate": 0.02}, 0.7)]
    assert configs(best_contenders(EXPERIMENT, {}, records, 9)) == [
        (1, 0.02, False, 0.7),
        (2, 1e-3, True, 0.5),
    ]
    found = listed_contenders(EXPERIMENT, {}, [old, PUBLISHED])
    assert [(each.number, each.published) for each in found] == [(1, True)]


def test_a_sweep_is_listed_in_its_order() -> None:
    other = {**PUBLISHED, "drop": 0.2}
    found = listed_contenders(EXPERIMENT, {}, [PUBLISHED, other, PUBLISHED, other])
    assert [(each.number, each.published, each.searched) for each in found] == [
        (1, True, None),
        (2, False, None),
    ]


def line(number: int, seed: int, val: float, test: float, parameters: int = 10) -> dict[str, str]:
    values: dict[str, Any] = dict.fromkeys(FIELDS, 0) | {
        "configuration": number,
        "trial": 10 * number + seed,
        "seed": seed,
        "val_accuracy": val,
        "test_accuracy": test,
        "last_test_accuracy": test - 0.1,
        "parameters": parameters,
        "trainable_parameters": 5,
        "epoch_s": float(seed),
        "confusion_matrix": json.dumps([[3, 1], [2, 4]]),
    }
    return {name: str(value) for name, value in values.items()}


THREE = [
    Contender(1, {"rate": 0.1}, published=False, searched=0.9),
    Contender(2, {"rate": 0.2}, published=True, searched=None),
    Contender(3, {"rate": 0.3}, published=False, searched=0.8),
]


def test_numbers_by_hand() -> None:
    rows = [line(1, seed, val, test) for seed, val, test in ((1, 0.7, 0.5), (2, 0.8, 0.6))]
    rows += [line(2, seed, 0.5, 0.1 * seed) for seed in (1, 2)]
    found = verdict(THREE, rows, {"study": "s"})
    assert (found["study"], found["test_images"], found["paired_seeds"]) == ("s", 10, 2)
    one, two = found["configurations"]  # the third has no row yet
    assert (one["configuration"], two["configuration"]) == (1, 2)
    # Mean 0.55, sd 0.1 / sqrt(2); t(0.975, 1) = 12.706: 0.55 -+ 12.706 * 0.05.
    assert one["test_accuracy"]["mean"] == pytest.approx(0.55)
    assert one["test_accuracy"]["sd"] == pytest.approx(0.1 / math.sqrt(2))
    assert one["test_accuracy"]["high"] == pytest.approx(0.55 + 12.7062 * 0.05, abs=1e-4)
    assert one["last_test_accuracy"]["mean"] == pytest.approx(0.45)
    assert one["optimism"] == pytest.approx(0.9 - 0.75)
    assert two["optimism"] is None
    assert one["epoch_s"] == 1.5
    assert one["confusion_matrix"] == [[6, 2], [4, 8]]
    assert one["wilson"]["images"] == 10
    # Wilson for 6 of 10 (0.55 of ten images, rounded): Newcombe 1998's formula by hand.
    z = 1.959964
    centre, half = (6 + z * z / 2) / (10 + z * z), z * math.sqrt(2.4 + z * z / 4) / (10 + z * z)
    assert one["wilson"]["low"] == pytest.approx(centre - half, abs=1e-6)
    assert one["wilson"]["high"] == pytest.approx(centre + half, abs=1e-6)
    assert one["trials"] == [11, 12]


def test_the_recommended_one_is_chosen_by_validation_and_the_groups_by_test() -> None:
    noise = (0.0, 0.01, -0.01, 0.02)
    rows = []
    for seed, off in enumerate(noise):
        rows.append(line(1, seed, 0.9 + off, 0.5 - off, parameters=30))
        rows.append(line(2, seed, 0.91 - off, 0.8 + off, parameters=20))
        rows.append(line(3, seed, 0.3 + 2 * off, 0.8 - off**2, parameters=10))
    found = verdict(THREE, rows, {})
    groups = {each["configuration"]: each["group"] for each in found["configurations"]}
    assert groups[2] == groups[3] == "a"
    assert groups[1] == "b"
    assert found["recommended"] == 2  # 1 and 2 are alike on validation, and 2 is smaller


def test_more_groups_than_letters_are_of_another_kind() -> None:
    many = [Contender(n, {"rate": n}, published=False, searched=None) for n in range(27)]
    # Means are 0.03 apart, seeds up to 0.0006, and no two differ by one number at all seeds.
    noise = [[(n + 2) * s * s % 31 / 50_000 for s in range(5)] for n in range(27)]
    rows = [line(n, s, 0.5, 0.03 * n + noise[n][s]) for n in range(27) for s in range(5)]
    found = verdict(many, rows, {})
    assert found["groups"] == "like the best"
    assert [each["group"] for each in found["configurations"]] == [""] * 26 + ["a"]
    assert verdict(many[:26], rows[: 26 * 5], {})["groups"] == "letters"


def test_of_networks_of_one_size_the_one_that_trains_less_is_cheaper() -> None:
    rows = [line(1, 1, 0.5, 0.5), line(2, 1, 0.5, 0.5)]
    rows[0]["trainable_parameters"] = "6"
    assert verdict(THREE, rows, {})["recommended"] == 2


def test_only_seeds_that_all_have_are_paired() -> None:
    rows = [line(1, 1, 0.5, 0.5), line(1, 2, 0.6, 0.6), line(2, 2, 0.7, 0.7)]
    found = verdict(THREE, rows, {})
    assert (found["paired_seeds"], found["seeds"]) == (1, 2)
    assert found["configurations"][0]["test_accuracy"]["n"] == 2
    rows = [line(1, 1, 0.5, 0.5), line(2, 2, 0.7, 0.7)]
    found = verdict(THREE, rows, {})
    assert (found["paired_seeds"], found["recommended"]) == (0, None)


def test_what_diverged_on_some_seeds_is_not_recommended_for_the_one_where_it_did_not() -> None:
    rows = [line(1, seed, 0.8 + seed / 50, 0.8 + seed / 50) for seed in range(5)]
    rows += [line(2, seed, 0.81 + seed / 50, 0.9) for seed in range(3)]  # better where both are
    assert verdict(THREE, rows, {})["recommended"] == 2
    found = verdict(THREE, rows, {}, unsafe={2})
    assert (found["recommended"], found["paired_seeds"]) == (1, 5)
    marks = [(each["group"], each["unsafe"]) for each in found["configurations"]]
    assert marks == [("a", False), ("", True)]
    # Where all of them did, they are compared on what there is.
    found = verdict(THREE, rows, {}, unsafe={1, 2})
    assert found["recommended"] == 2
    assert [each["unsafe"] for each in found["configurations"]] == [True, True]


def test_what_has_one_seed_of_five_does_not_shrink_the_comparison_of_the_others() -> None:
    # 1 is the better one on four of five seeds, 2 on the first: the only one that 3 has.
    rows = [line(1, s, val, 0.83) for s, val in enumerate((0.70, 0.84, 0.84, 0.84, 0.84))]
    rows += [line(2, s, val, 0.70) for s, val in enumerate((0.78, 0.70, 0.70, 0.70, 0.70))]
    rows += [line(3, 0, 0.99, 0.99)]
    found = verdict(THREE, rows, {})
    assert (found["recommended"], found["paired_seeds"], found["seeds"]) == (1, 5, 5)
    marks = [(each["group"] != "", each["few_seeds"]) for each in found["configurations"]]
    assert marks == [(True, False), (True, False), (False, True)]
    assert found["notes"] == ["configuration 3 has 1 of 5 seeds: not compared"]


def test_half_of_the_seeds_are_enough_to_be_compared() -> None:
    rows = [line(1, seed, 0.5 + seed / 50, 0.5) for seed in range(4)]
    rows += [line(2, seed, 0.6, 0.6) for seed in (0, 1)]
    found = verdict(THREE, rows, {})
    assert (found["recommended"], found["paired_seeds"], found["notes"]) == (2, 2, [])
    # What is unsafe is not compared: its seeds make no others few.
    rows += [line(3, seed, 0.6, 0.6) for seed in range(9)]
    found = verdict(THREE, rows, {}, unsafe={3})
    assert [each["few_seeds"] for each in found["configurations"]] == [False, False, False]


def test_one_seed_of_several_is_told_to_decide_nothing() -> None:
    rows = [line(1, 1, 0.5, 0.5), line(1, 2, 0.6, 0.6), line(2, 2, 0.7, 0.7)]
    said = "of {} seeds those that are compared have one in common: one seed decides nothing"
    assert verdict(THREE, rows, {})["notes"] == [said.format(2)]
    one_each = [line(number, 1, 0.5, 0.5) for number in (1, 2)]
    assert verdict(THREE, one_each, {}, planned_seeds=5)["notes"] == [said.format(5)]
    assert verdict(THREE, one_each, {})["notes"] == []  # no more were wanted


def test_the_toy_has_these_defaults() -> None:
    assert {name: DEFAULTS[name] for name in PUBLISHED} == PUBLISHED
