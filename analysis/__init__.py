"""What came out of a study: tables, plots, reports."""

import logging

# Where the home cannot be written it tells twice of its folder for fonts, in the middle of ours.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
