"""One cell as an archive that stands alone, to report to those who maintain what is to blame: `harness bundle`.

`archive` puts that of a cell of ours together, `application` writes its Celery application. `own` does so for a probe of
somebody's own application, whose source (`sources`) is copied only on request; `anonymous` takes what is theirs out. Copied as
they are: `reproduce` and `particulars`, which start the worker, send requests and say how they ended. Nothing in an archive
imports `harness`.
"""
