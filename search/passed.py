"""Names of what driver and workers pass to each other; workers need not import the driver."""

# In what the driver gives a worker.
NUMBER = "number"
GPUS = "gpus"
MEMORY = "memory_mb"
# In what a worker answers.
OUTCOME = "outcome"
RUNNING = "running"
# The worker's disk is full, or its store refuses: nothing wrong with the trial, but no trial can
# go on.
NO_ROOM = "no room"
# The machine is at fault: other programs hold its GPU's memory, or a disk does not answer. Nothing
# wrong with the trial, which is tried again, there or elsewhere.
OUTSIDE = "outside"
# What a worker wants to be told to the user.
NOTES = "notes"
