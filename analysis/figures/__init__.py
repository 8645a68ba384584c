"""One file per figure: a pure data function, and two drawings of what it returns.

`data` takes data frames and gives a data frame or a dataclass; `charts` draws it for plotly.js, as
plain values, and `draw` with matplotlib. `style` has what they share.
"""
