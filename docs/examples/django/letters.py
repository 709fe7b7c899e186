try:
    from django.tasks import task  # Django 6
except ImportError:
    from django_tasks import task  # earlier ones, with the package django-tasks


@task(queue_name="letters")
def write(name: str) -> str:
    return f"Dear {name}"


# Tried again when the post office is closed, three times in all. Other errors end it at once.
@task(queue_name="letters", takes_context=True, retry_on=(ConnectionError,), max_attempts=3, backoff="fixed:50ms")
def post(context, text: str) -> str:
    if context.attempt < 2:
        raise ConnectionError("the post office is closed")
    return f"posted: {text}"
