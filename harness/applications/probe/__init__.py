"""Somebody's own Celery application under every pool: `harness probe --app proj.tasks:app --task proj.tasks.predict …`.

`order` reads what the user names, `learn` asks the application in its own interpreter (`remedies`: what helps if that fails),
`checks` says what a right answer is, `results` reads what came back, `again` makes the serial calls once more if it differs,
`words` puts limits and loads into the reason, `implicated`, `code_change` and `rewritten` find what keeps `prefork` from
working and write the change. `pace` says how pools are measured whose calls take so long, `budget` and `calls` what time and a
number of calls buy, and `sizing` settles that for each pool. `patience` says how long a pool runs once the serial calls hung,
`one_thread` what is measured beside a pool that was over-subscribed, `seen` what a trial left beside its requests, `header`
what `run.json` says of it all. `source` has the trials, `probe` hands them to the run loop. What runs in the user's interpreter
is in `harness.worker`: `app_facts`, `serial`, `visitor`; what becomes of the application's settings stands in `own_settings`.
"""
