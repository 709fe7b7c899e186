import os

import django

SECRET_KEY = "an example has no secrets"
INSTALLED_APPS = ["ringmill.django"]
if django.VERSION < (6, 0):
    INSTALLED_APPS += ["django_tasks"]
USE_TZ = True

TASKS = {
    "default": {
        "BACKEND": "ringmill.django.RingmillBackend",
        "QUEUES": ["default", "letters"],
        "OPTIONS": {"DIRECTORY": os.environ.get("RINGMILL_DIRECTORY", "/var/lib/jobs")},
    }
}
