"""What Dramatiq's tests import of their folder, and its source distribution does not have."""

from contextlib import contextmanager

import pytest
from dramatiq import Worker


@contextmanager
def worker(*arguments, **options):
    made = Worker(*arguments, **options)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _runs(test):
    return test


skip_in_ci = skip_on_windows = skip_on_pypy = skip_with_gevent = _runs
skip_without_gevent = pytest.mark.skip(reason="gevent is not there")
RABBITMQ_CREDENTIALS = None
