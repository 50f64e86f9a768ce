"""The self-test: every fault that we can inject, in every pool where it can exist, and what the harness said of it.

`catalogue` holds the faults and what is to be said of each, as data; `jobs` runs the trials, several runs of `harness run`
side by side; `judgement` compares what was said with what was injected; `report` writes the table. Called by the verb
`harness selftest`. The faults themselves are in `harness.backends.faulty` and `harness.trial.outside`.
"""
