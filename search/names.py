"""The words that options choose from, apart from what acts on them: cheap to import."""

SAMPLERS = ("tpe", "additive", "random", "gp", "grid")
STOPPERS = ("asha", "hyperband", "median", "none")
PRESETS = ("quick", "standard", "thorough")
PRECISIONS = ("auto", "bfloat16", "float32")
