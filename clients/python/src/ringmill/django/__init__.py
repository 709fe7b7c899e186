"""Django's tasks on ringmill: `TASKS = {"default": {"BACKEND": "ringmill.django.RingmillBackend", ...}}`, and the
worker command `manage.py ringmill_worker`, which comes with `INSTALLED_APPS += ["ringmill.django"]`.

With Django 6 it is a backend of `django.tasks`, with earlier ones of the package `django-tasks`.
"""

from typing import Any

__all__ = ["RingmillBackend", "RingmillTask"]


def __getattr__(name: str) -> Any:
    """Loaded when first asked for: Django imports this module before its settings are there."""
    if name in __all__:
        from . import backend

        return getattr(backend, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
