"""The self-test: every fault that we can inject, in every pool where it can exist, and what the harness said of it.

`catalogue` holds the faults and what is to be said of each, as data, written in the words of `entry`: what hangs (`hanging`),
what passes (`passing`), what waits for others (`elsewhere`) and how else a trial ends (`ending`). `jobs` runs the trials,
several runs of `harness run` side by side; `judgement` compares what was said with what was injected; `report` writes the
table. Called by the verb `harness selftest`. The faults themselves are in `harness.backends.faults` and
`harness.trial.outside`.
"""
