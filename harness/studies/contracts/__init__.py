"""Pool contracts: what each Celery pool does when a limit, a revoke, a shutdown or a signal meets a busy or hung executor, and
when its broker goes away.

`measures`, `reconnect` and `rabbit` hold one small function a contract; each drives real workers through a `bench` (a worker,
its client, its queue), `reconnect` with the help of `outages` and `fates`. `survey` decides which are to be measured, `lanes`
measures a few at a time, `rows` keeps and prints the answers.
Called by the command line's verb `contracts`. Nothing here repeats what documentation says: every answer was seen.
"""
