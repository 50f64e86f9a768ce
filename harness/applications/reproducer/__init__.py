"""One cell as an archive that stands alone, to report to those who maintain Celery, Keras or an engine: `harness bundle`.

`archive` puts it together, `application` writes its Celery application. `reproduce` is copied into it as it is: it starts the
worker, sends requests and says how they ended; nothing in an archive imports `harness`.
"""
