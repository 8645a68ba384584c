"""The table that search.confirm ends with: order, marks, and what is said below it."""

from typing import Any

from analysis.confirm_table import render


def spread(mean: float) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.01, "low": mean - 0.02, "high": mean + 0.02, "n": 3}


def one(number: int, test: float, **changed: Any) -> dict[str, Any]:
    return {
        "configuration": number,
        "published": False,
        "config": {"rate": number / 10},
        "group": "a",
        "test_accuracy": spread(test),
        "val_accuracy": spread(0.5),
        "wilson": {"low": 0.4, "high": 0.9},
        "searched_val_accuracy": None,
        "optimism": None,
        "parameters": 1000,
        "epoch_s": 2.0,
        **changed,
    }


def table(*configurations: dict[str, Any], **changed: Any) -> list[str]:
    content = {
        "study": "s",
        "experiment": "lenet_beans",
        "data": "embedded:beans",
        "real_data": True,
        "seeds": 3,
        "test_images": 30,
        "paired_seeds": 3,
        "opened": ["2026-11-22"],
        "recommended": None,
        "configurations": configurations,
        **changed,
    }
    return render(content).splitlines()


def names(lines: list[str]) -> list[str]:
    """The first column, once: it stands before every block."""
    heads = [at for at, line in enumerate(lines) if line.startswith("no.")]
    below = lines[heads[0] + 1 :]
    return [line.split("  ")[0] for line in below[: below.index("")]]


def test_what_lost_a_seed_comes_last_and_is_marked() -> None:
    lines = table(
        one(1, 0.9, unsafe=True, published=True, group=""),
        one(2, 0.7, unsafe=False),
        one(3, 0.8, unsafe=False, published=True),
        one(4, 0.8, unsafe=False),  # of equals the first in the search
    )
    assert names(lines) == ["3 (published)", "4", "2", "1 (published) (unsafe)"]
    said = "unsafe: infeasible or stopped on some seed; the numbers are of the other seeds alone"
    assert said in lines


def test_a_choice_over_fewer_seeds_than_the_means_above_says_so() -> None:
    """One seed failed: the choice is among the two that all have, the table's mean of three."""
    few = {**spread(0.8), "n": 2}
    chosen = {"recommended": 2, "paired_seeds": 2}
    lines = table(
        one(1, 0.9, unsafe=False), one(2, 0.8, unsafe=False, test_accuracy=few), **chosen
    )
    said = "recommended: configuration 2, by validation accuracy on the fresh seeds"
    assert (
        f"{said} (compared on the 2 that all have: other means); ties go to the cheaper" in lines
    )
    # What is unsafe was not compared at all, so its seeds do not count.
    lines = table(one(1, 0.9), one(2, 0.8, unsafe=True, test_accuracy=few), recommended=1)
    plain = "recommended: configuration 1, by validation accuracy on the fresh seeds; ties go to"
    assert f"{plain} the cheaper" in lines
    all_lost = one(1, 0.9, unsafe=True), one(2, 0.8, unsafe=True, test_accuracy=few)
    assert f"{said} (compared on the 2 that" in "\n".join(table(*all_lost, **chosen))


def test_the_legend_says_which_kind_of_groups_there_are() -> None:
    tests = "(paired t tests over 3 seeds, Holm-corrected, on test accuracy)"
    by_letter = f"configurations that share a letter cannot be told apart {tests}"
    assert by_letter in table(one(1, 0.9))  # as an older version wrote it
    assert by_letter in table(one(1, 0.9), groups="letters")
    lines = table(one(1, 0.9), groups="like the best")
    assert by_letter not in lines
    said = (
        "group a cannot be told apart from the best mean, what else was compared can: "
        f"all pairs would take more than 26 letters {tests}"
    )
    assert said in lines


def test_what_has_too_few_seeds_stands_behind_and_is_told_of() -> None:
    lone = {**spread(0.95), "n": 1}
    told = "configuration 1 has 1 of 3 seeds: not compared"
    lines = table(
        one(1, 0.95, few_seeds=True, test_accuracy=lone, group=""),
        one(2, 0.7, few_seeds=False),
        one(3, 0.9, unsafe=True),
        notes=[told],
        recommended=2,
    )
    assert names(lines) == ["2", "1 (few seeds)", "3 (unsafe)"]
    assert told in lines
    # The others were compared on all of their seeds.
    said = "recommended: configuration 2, by validation accuracy on the fresh seeds; ties go to"
    assert f"{said} the cheaper" in lines


def test_what_is_held_and_what_seeds_share_is_told() -> None:
    shared = {"common_to_seeds": "one source network", "published_but_for": ["drop", "kind"]}
    lines = table(one(1, 0.9, unsafe=False, published=True), **shared)
    assert "all seeds share one source network: its luck is in no interval" in lines
    assert "(published): but for drop, kind, which the search held" in lines
    assert not [line for line in lines if "unsafe" in line]
    none = table(one(1, 0.9, unsafe=False), **shared)  # no trial of the published one is complete
    assert not [line for line in none if "published" in line]


def test_of_nothing_nothing_is_told() -> None:
    """Neither where it is empty, nor where an older version has written nothing of it."""
    nothing = {"common_to_seeds": "", "published_but_for": [], "weights": None}
    assert table(one(1, 0.9, unsafe=False), **nothing) == table(one(1, 0.9))
    text = "\n".join(table(one(1, 0.9)))
    assert "study s of lenet_beans: 3 seeds, 30 test images" in text
    assert not [word for word in ("unsafe", "share one", "but for", "weights") if word in text]


def test_what_is_not_the_real_thing_stands_in_the_title() -> None:
    first = table(one(1, 0.9), real_data=False, weights="random")[0]
    assert first == (
        "study s of lenet_beans (embedded:beans: not the real data) "
        "(weights: random, not pretrained): 3 seeds, 30 test images"
    )
    assert "weights" not in table(one(1, 0.9), weights="torchvision")[0]


def test_each_number_stands_once() -> None:
    found = table(
        one(
            1,
            0.8123,
            val_accuracy=spread(0.7456),
            wilson={"low": 0.411, "high": 0.955},
            searched_val_accuracy=0.7999,
            optimism=0.0543,
        )
    )
    text = "\n".join(found)
    for cell in ("0.8123", "0.7923 to 0.8323", "0.4110 to 0.9550", "0.7456", "0.7999", "0.0543"):
        assert text.count(cell) == 1, cell
    row = next(line for line in found if line.startswith("1 "))
    order = ["0.8123", "0.7923 to 0.8323", "0.4110 to 0.9550"]
    assert [row.index(cell) for cell in order] == sorted(row.index(cell) for cell in order)
