"""Several workers, a few producers, and a world that breaks under them, again and again.

    uv run python -m tests.chaos --minutes 30 --seed 7

`app` holds the handlers, `work` the jobs and what must become of each, `plan` what breaks and when,
`faults` how it is broken, `world` the servers and processes, `audit` the reckoning at the end.

The seed decides the jobs and the plan of faults, so a run with the same seed breaks the same things
in the same order. It can't decide how real processes on a real machine interleave: a run repeats as
far as its plan goes, not to the microsecond.
"""
