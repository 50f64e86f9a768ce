"""Somebody's own Celery application under every pool: `harness probe --app proj.tasks:app --task proj.tasks.predict …`.

`order` reads what the user names, `learn` asks the application in its own interpreter, `checks` says what a right answer is,
`results` reads what came back, `again` makes the serial calls once more if it differs, `words` puts limits and loads into the
reason, `implicated`, `code_change` and `rewritten` find what keeps `prefork` from working and write the change. `patience` says
how long a pool runs once the serial calls hung, `one_thread` what is measured beside a pool that was over-subscribed, `seen`
what a trial left beside its requests. `source` has the trials, `probe` hands them to the run loop. What runs in the user's
interpreter is in `harness.worker`: `app_facts`, `serial`, `visitor`; what becomes of the application's settings stands in
`own_settings`.
"""
