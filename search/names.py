"""The words that options choose from, apart from what acts on them: cheap to import."""

PROPOSING = ("prior", "tpe", "additive", "random", "gp")  # samplers that draw; a grid is listed
SAMPLERS = (*PROPOSING, "grid")
STOPPERS = ("asha", "hyperband", "median", "none")
PRESETS = ("quick", "standard", "thorough")
PRECISIONS = ("auto", "bfloat16", "float32")
# What rungs compare, as study.json has it; and what --compare-by takes.
ACCURACY, BOTH = "accuracy", "accuracy and loss"
COMPARE_BY = ("auto", ACCURACY)
