SECRET_KEY = "a secret of tests"
INSTALLED_APPS = ["digits"]
DATABASES = {}
USE_TZ = True
CELERY_BROKER_URL = "redis://localhost:6379/0"
CELERY_RESULT_BACKEND = "redis://localhost:6379/0"
CELERY_TASK_IGNORE_RESULT = False
