"""From the words of a command line to a plan: budget, sampler, what is held and what is swept."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Any

from search import options
from search.at_odds import at_odds
from search.compared import what_to_compare
from search.domains import Domain, configuration, domains, one_at_a_time
from search.experiment import Experiment, Space
from search.names import ACCURACY, COMPARE_BY, PRECISIONS, PRESETS, SAMPLERS, STOPPERS
from search.options import Mistakes
from search.plan import Plan, listed, most_compared, published, rungs_in_reach
from search.warm import Inherited, read_warm_start


def read_plan(
    arguments: argparse.Namespace,
    old: Mapping[str, Any],
    experiment: Experiment | None,
    wrong: Mistakes,
    donors: Sequence[str] = (),
) -> Plan | None:
    """Return the plan that the arguments make, or None with the mistakes added to `wrong`.

    `old` is the budget of the study to resume, or empty: it stands in for what is not given;
    `donors` are the words of --warm-start that it was begun with.
    """
    before = len(wrong)
    compare = wrong.parse("--compare-by", arguments.compare_by, options.one_of(COMPARE_BY))
    given = {
        "trials": wrong.parse("--trials", arguments.trials, options.at_least(1)),
        "max_epochs": wrong.parse("--max-epochs", arguments.max_epochs, options.at_least(1)),
        "seed": wrong.parse("--seed", arguments.seed, options.at_least(0)),
        "sampler": wrong.parse("--sampler", arguments.sampler, options.one_of(SAMPLERS)),
        "stopper": wrong.parse("--stopper", arguments.stopper, options.one_of(STOPPERS)),
        "first_rung": wrong.parse("--first-rung", arguments.first_rung, options.at_least(1)),
        "compared": None if compare == "auto" else compare,
        "precision": wrong.parse("--precision", arguments.precision, options.one_of(PRECISIONS)),
        "seeds": wrong.parse("--seeds", arguments.seeds, options.at_least(1)),
    }
    preset = wrong.parse("--preset", arguments.preset, options.one_of(PRESETS))
    if experiment is None:
        return None
    known = domains(experiment.space(), experiment.defaults(), experiment.readers())
    fixed = _as_held(read_fixed(arguments.fix or [], known, wrong), old.get("fixed", {}), known)
    held = {**old.get("fixed", {}), **fixed}
    sweep = _sweep(arguments.sweep or [], experiment, held, wrong)
    sweep = sweep or tuple(old.get("sweep", ()))
    configurations = tuple(old.get("configurations", ()))
    if arguments.seeds is not None and not sweep:
        wrong.append("--seeds goes with --sweep alone; search.confirm gives seeds to a search")
    if sweep and arguments.trials is not None:
        wrong.append("--trials does not go with --sweep: a sweep has one trial per value")
    if sweep and arguments.sampler is not None:
        wrong.append("--sampler does not go with --sweep: a sweep draws nothing")
    seeds = given["seeds"] or old.get("seeds", 1)
    if sweep and seeds > 1 and given["stopper"] not in (None, "none"):
        wrong.append(
            f"--stopper {given['stopper']} does not go with --seeds: means are of seeds that are "
            "trained to the end"
        )
    if sweep and arguments.warm_start:
        wrong.append("--warm-start does not go with --sweep: a sweep tries what it names alone")
    if len(wrong) > before:
        return None
    plan = _settled(experiment, given, preset, fixed, sweep, old)
    if arguments.warm_start and not _same_donors(arguments.warm_start, old, donors):
        plan = replace(plan, warm_start=_warm_start(arguments, experiment, plan, wrong))
    plan = with_trials(experiment, replace(plan, configurations=configurations))
    if not old and given["compared"] is None:
        plan = replace(plan, compared=what_to_compare(experiment, plan))
    begun = listed(experiment, plan) if plan.sweep else [published(experiment, plan)]
    for line in dict.fromkeys(chain(*(at_odds(experiment, each, plan.fixed) for each in begun))):
        wrong.append(line)
    found = len(wrong)
    _check_stages(experiment, plan, wrong)
    # A study that is there goes on as it began.
    if experiment.stage_epochs and not old and len(wrong) == found:
        _check_cut(experiment, plan, fixed, arguments.sweep or (), wrong)
    _check_first_rung(arguments.first_rung, experiment, plan, wrong)
    return plan


def _same_donors(words: Sequence[str], old: Mapping[str, Any], begun: Sequence[str]) -> bool:
    """Tell whether a study took configurations over from just these: it keeps those it has.

    The others may have found more since, or be gone. Of those that it was begun with, some may
    have had no place.
    """
    names, known = ({w.rstrip("/").rpartition("/")[2] for w in each} for each in (words, begun))
    had = {each["study"] for each in old.get("warm_start", ())}
    return bool(had) and had <= names <= had | known


def _warm_start(
    arguments: argparse.Namespace, experiment: Experiment, plan: Plan, wrong: Mistakes
) -> tuple[Inherited, ...]:
    results = arguments.results_dir
    words = arguments.warm_start
    return read_warm_start(words, results, experiment, plan.fixed, plan.trials, wrong)


def _swept(words: Sequence[str]) -> set[str]:
    """Return the hyperparameters that the words of a sweep name."""
    return {word.partition("=")[0] for word in words}


def _check_stages(experiment: Experiment, plan: Plan, wrong: Mistakes) -> None:
    """Refuse a budget in which the published trial would never reach its last stage."""
    *earlier, last = experiment.stage_epochs or ("",)
    config = published(experiment, plan)
    before = sum(config.get(name, 0) for name in earlier)
    if last in config and before >= plan.max_epochs:
        held = " ".join(f"{name}={config.get(name, 0)}" for name in earlier)
        swept = _swept(plan.sweep)
        fewer = "" if swept.intersection(earlier) else f", or hold fewer by --fix {earlier[0]}=..."
        wrong.append(
            f"--max-epochs {plan.max_epochs}: {held} leaves no epoch for {last}; give more than "
            f"{before}{fewer}"
        )


def _check_cut(
    experiment: Experiment,
    plan: Plan,
    fixed: Mapping[str, Any],
    sweep: Sequence[str],
    wrong: Mistakes,
) -> None:
    """Refuse epochs of a stage that are asked for, held or swept, and would not all be trained."""
    stages = experiment.stage_epochs
    named = _swept(sweep).intersection(stages)
    configs = listed(experiment, plan) if named else [published(experiment, plan)]
    asked = named or fixed.keys() & set(stages)
    most = 0
    for config in configs:
        ends = list(accumulate(config.get(name, 0) for name in stages))
        counted = [e for n, e in zip(stages, ends, strict=True) if n in asked and n in config]
        most = max(most, ends[-1] if named else max(counted, default=0))
    if most > plan.max_epochs:
        wrong.append(
            f"--max-epochs {plan.max_epochs}: {' and '.join(sorted(asked))} would be cut short, "
            f"for with all stages before there are up to {most} epochs; give --max-epochs {most}"
        )


def _check_first_rung(
    given: str | None, experiment: Experiment, plan: Plan, wrong: Mistakes
) -> None:
    """Refuse a first rung at which no trial would be compared."""
    if given is None:
        return
    if plan.stopper == "none":
        wrong.append(f"--first-rung {given} does not go with --stopper none: nothing is stopped")
    elif not rungs_in_reach(experiment, plan):
        wrong.append(f"--first-rung {given}: {_out_of_reach(experiment, plan)}")


def _out_of_reach(experiment: Experiment, plan: Plan) -> str:
    """Return why no trial is compared at the first rung, and what to do."""
    most, stages = most_compared(experiment, plan), experiment.stage_epochs
    epochs = "1 epoch" if most == 1 else f"{most} epochs"
    last = f" of the last stage, {stages[-1]}" if stages else ""
    way = "give a lower one" if most > 1 else "leave it out"
    more = "" if stages else ", or more --max-epochs"
    return f"no trial has more than {epochs}{last}; {way}{more}"


def _settled(
    experiment: Experiment,
    given: Mapping[str, Any],
    preset: str | None,
    fixed: Mapping[str, Any],
    sweep: tuple[str, ...],
    old: Mapping[str, Any],
) -> Plan:
    """Put the plan together: what is given, else what the study has, else the preset's."""
    chosen = experiment.presets[preset or "standard"]
    base: dict[str, Any] = {"stopper": "none" if sweep else "asha", "fixed": {}}
    if old:
        known = {"first_rung": None, "compared": ACCURACY, **old}  # older studies do not say
        base = {name: known[name] for name in (*given, "fixed")}
        base["warm_start"] = tuple(Inherited(**each) for each in old.get("warm_start", ()))
    if preset or not old:
        base |= {"trials": chosen.trials, "max_epochs": chosen.max_epochs}
        base["fixed"] = base["fixed"] | dict(chosen.fixed)
    swept = _swept(sweep)
    base["fixed"] = {n: v for n, v in base["fixed"].items() if n not in swept} | dict(fixed)
    base |= {name: value for name, value in given.items() if value is not None}
    return Plan(**base, sweep=sweep)


def with_trials(experiment: Experiment, plan: Plan) -> Plan:
    """Return the plan with as many trials as a sweep or list has, or the plan itself."""
    if plan.sweep or plan.configurations:
        return replace(plan, trials=len(listed(experiment, plan)))
    return plan


def read_fixed(words: list[str], known: Mapping[str, Domain], wrong: Mistakes) -> dict[str, Any]:
    """Return the values that --fix NAME=VALUE, once per word, holds; mistakes go to `wrong`.

    `known` are the hyperparameters that there are.
    """
    fixed: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in known:
            wrong.append(f"--fix {word}: no hyperparameter {name!r}; {_names(known)}")
        elif not equals or not text:
            wrong.append(f"--fix {word}: a value is missing; {name} is {known[name].describe()}")
        elif name in fixed:
            wrong.append(f"--fix {word}: {name} is already held at {fixed[name]}")
        else:
            try:
                fixed[name] = known[name].parse(text)
            except ValueError as error:
                wrong.append(f"--fix {word}: {error}")
    return fixed


def _as_held(
    fixed: Mapping[str, Any], held: Mapping[str, Any], known: Mapping[str, Domain]
) -> dict[str, Any]:
    """Return values as a study holds them, where an earlier version wrote the same otherwise."""
    return {
        name: held[name] if name in held and _reads_as(known[name], held[name], value) else value
        for name, value in fixed.items()
    }


def _reads_as(domain: Domain, held: Any, value: Any) -> bool:
    try:
        return bool(domain.parse(str(held)) == value)
    except ValueError:  # none of today's
        return False


def _sweep(
    words: list[str], experiment: Experiment, fixed: Mapping[str, Any], wrong: Mistakes
) -> tuple[str, ...]:
    space, values = experiment.space(), {**experiment.defaults(), **fixed}
    known = domains(space, values)
    for word in dict.fromkeys(words):
        name, equals, texts = word.partition("=")
        if name not in known:
            wrong.append(f"--sweep {word}: no such hyperparameter; {_names(known)}")
        elif name in fixed:
            wrong.append(f"--sweep {word}: it is held by --fix {name}={fixed[name]}")
        elif equals and not texts:
            wrong.append(f"--sweep {word}: a value is missing; {name} is {known[name].describe()}")
        elif (count := _count(word, space, values, known, wrong)) is not None and count < 2:
            why = _why(word, space, values, known, fixed)
            wrong.append(f"--sweep {word}: has no effect{why}")
    return tuple(dict.fromkeys(words))


def _count(
    word: str,
    space: Space,
    values: Mapping[str, Any],
    known: Mapping[str, Domain],
    wrong: Mistakes,
) -> int | None:
    try:
        return len(list(one_at_a_time(space, values, known, [word])))
    except ValueError as error:
        wrong.append(f"--sweep {word}: {error}")
        return None


def _why(
    word: str,
    space: Space,
    values: Mapping[str, Any],
    known: Mapping[str, Domain],
    fixed: Mapping[str, Any],
) -> str:
    """Return why a sweep changes nothing, and what brings a hyperparameter into force."""
    name, equals, _ = word.partition("=")
    config = configuration(space, values)
    if name in config and equals:
        return f": without it {name} is {config[name]} already; valid are {known[name].describe()}"
    if name in config:
        return f": it has one value to search, {known[name].describe()}"
    for other, domain in known.items():
        for choice in domain.choices:
            if name in configuration(space, {**values, other: choice}):
                held = " instead" if other in fixed else ""
                return f" at {other}={values[other]}; give --fix {other}={choice}{held}"
    return ""


def _names(known: Mapping[str, Domain]) -> str:
    return f"valid are {', '.join(sorted(known))}"
