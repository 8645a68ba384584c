"""The words that options choose from, apart from what acts on them: cheap to import."""

SAMPLERS = ("additive", "tpe", "random", "gp", "grid")
STOPPERS = ("asha", "hyperband", "median", "none")
PRESETS = ("quick", "standard", "thorough")
PRECISIONS = ("auto", "bfloat16", "float32")
