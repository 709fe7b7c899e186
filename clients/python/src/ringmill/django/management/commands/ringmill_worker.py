"""manage.py ringmill_worker"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ringmill.django import _api
from ringmill.django.backend import RingmillBackend
from ringmill.django.worker import TaskWorker
from ringmill.worker import Supervisor, follow_supervisor, run_here


class Command(BaseCommand):
    help = "Runs tasks. The first SIGTERM or SIGINT lets running tasks end; the second ends the worker at once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--backend", default="default", help="a name in TASKS")
        parser.add_argument("--queue", action="append", default=[], help="may be given again; default: those of TASKS")
        parser.add_argument("--processes", "-p", type=int, default=1)
        parser.add_argument("--threads", "-t", type=int, default=1)
        parser.add_argument("--drain", action="store_true", help="ends when nothing is left to run")

    def handle(self, *args: Any, **options: Any) -> None:
        backend = _api.task_backends[options["backend"]]
        if not isinstance(backend, RingmillBackend):
            raise CommandError(f"TASKS[{options['backend']!r}] is not a backend of ringmill")
        if backend.queues and not set(options["queue"]) <= backend.queues:
            raise CommandError(f"TASKS[{options['backend']!r}] has these queues: {', '.join(sorted(backend.queues))}")
        if options["verbosity"] > 0 and not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s[%(process)d] %(message)s")
        if options["processes"] > 1:
            code = Supervisor([*_this_command(), "--processes", "1"], options["processes"]).run()
            sys.exit(code)
        follow_supervisor()
        worker = TaskWorker(backend, options["queue"], threads=options["threads"], drain=options["drain"])
        code = run_here(worker)
        sys.stdout.flush()
        if worker.is_alive:
            os._exit(code)
        if code:
            sys.exit(code)


def _this_command() -> list[str]:
    """The command that runs here, started anew."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m django
        return [sys.executable, "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]
    return [sys.executable, *sys.argv]
