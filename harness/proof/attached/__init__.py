"""The self-test's faults in workers that know nothing of us, and what `harness why` says of them from outside.

`expected` says beforehand what may be said of each fault, and of which a proof is promised; `served` is the application, which
a plain `celery worker` serves; `trial` starts it, lets the fault strike, and asks; `workflow` runs them side by side. Called by
`harness selftest --attached`.
"""
