"""Ray Tune as the driver imports it: without what nothing here asks it for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORT = """
import sys
from search.light_tune import import_tune
import_tune()
import ray.tune
def loaded(name):
    return name in sys.modules
"""


def run(code: str) -> list[str]:
    """Run code in a process of its own: what is imported there is not what tests import."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_a_search_asks_of_tune_brings_neither_pandas_nor_ray_data() -> None:
    code = """
import search.controller, search.follower, search.runner, search.searcher, search.stopper
print(loaded("pandas"), loaded("ray.data.dataset"), loaded("ray.tune.tuner"))
"""
    assert run(IMPORT + code) == ["False False True"]


def test_who_imports_them_afterwards_has_the_real_ones() -> None:
    code = """
import pandas as pd
from pandas import DataFrame
import pandas.api.types
print(pd.DataFrame({"x": [1, 2]}).x.sum(), DataFrame is pd.DataFrame)
import ray.data
print(ray.data.range.__name__, loaded("ray.data.dataset"))
"""
    assert run(IMPORT + code) == ["3 True", "range True"]


def test_tune_itself_has_pandas_when_it_asks() -> None:
    code = """
from ray.tune import progress_reporter, result_grid
from ray.tune.analysis import experiment_analysis
print(progress_reporter.pd.isnull(float("nan")), loaded("pandas"))
import pandas
print(result_grid.pd.DataFrame is pandas.DataFrame, result_grid.pd.__version__[0].isdigit())
print(experiment_analysis.DataFrame([{"x": 1}]).x.tolist())
"""
    assert run(IMPORT + code) == ["True True", "True True", "[1]"]


def test_data_sets_are_pickled_as_ever_where_ray_data_is_there() -> None:
    code = """
import ray
from ray.tune.execution import experiment_state
from ray.tune.impl import out_of_band_serialize_dataset as stood_in
asked = []
class Context:
    _register_cloudpickle_reducer = lambda self, kind, _: asked.append(kind)
    _unregister_cloudpickle_reducer = lambda self, kind: asked.append(kind)
ray._private.worker.global_worker.get_serialization_context = Context
with experiment_state.out_of_band_serialize_dataset():
    print(asked, loaded("ray.data"))
from ray.data.context import DataContext
print(DataContext is ray.data.DataContext)
for _ in range(2):
    with experiment_state.out_of_band_serialize_dataset():
        print(asked == [ray.data.Dataset])
    print(asked == [ray.data.Dataset] * 2)
    asked.clear()
"""
    assert run(IMPORT + code) == ["[] False", "True", *["True"] * 4]


def test_what_is_there_before_is_left_alone() -> None:
    code = """
import pandas, ray.data
kept = pandas, ray.data
import sys
from search.light_tune import import_tune
import_tune()
from ray.tune.analysis import experiment_analysis
print(kept == (sys.modules["pandas"], sys.modules["ray.data"]))
print(experiment_analysis.DataFrame is pandas.DataFrame)
import_tune()
print(kept == (sys.modules["pandas"], sys.modules["ray.data"]))
"""
    assert run(code) == ["True"] * 3


def test_an_import_that_fails_leaves_no_stand_in_for_pandas() -> None:
    code = """
import sys
import ray
sys.modules["ray.tune.tuner"] = None
from search.light_tune import import_tune
try:
    import_tune()
except ImportError as error:
    print(error.name)
import pandas
print(pandas.DataFrame.__name__)
"""
    assert run(code) == ["ray.tune.tuner", "DataFrame"]
