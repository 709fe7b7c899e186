"""python -m ringmill worker MODULE:APP"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from typing import Any

from .app import App
from .async_worker import AsyncWorker
from .worker import Supervisor, Worker, follow_supervisor, run_here


def load_app(name: str) -> App:
    """MODULE:APP, where APP defaults to `app`."""
    module_name, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    found: object = importlib.import_module(module_name)
    for part in (attribute or "app").split("."):
        found = getattr(found, part)
    if not isinstance(found, App):
        raise SystemExit(f"{name} is not a ringmill.App")
    return found


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m ringmill")
    commands = made.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="runs the tasks of an app")
    worker.add_argument("app", help="MODULE:APP")
    worker.add_argument("--processes", "-p", type=int, default=1)
    worker.add_argument("--threads", "-t", type=int, default=1)
    worker.add_argument("--asyncio", "-a", type=int, default=0, metavar="N", help="N tasks at a time in an event loop")
    worker.add_argument("--levels", default="", help="names, separated by commas; default: all")
    worker.add_argument("--kinds", default="", help="names of tasks; default: all of the app")
    worker.add_argument("--strict", action="store_true", help="always the most urgent level, not by weight")
    worker.add_argument("--prefetch", type=int, default=64, help="what a thread takes in advance, if tasks are short")
    worker.add_argument("--drain", action="store_true", help="ends when nothing is left to run")
    worker.add_argument("--log-level", default="INFO")
    return made


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(name)s[%(process)d] %(levelname)s: %(message)s")
    if given.processes > 1:
        command = [sys.executable, "-m", "ringmill", *(sys.argv[1:] if arguments is None else arguments)]
        return Supervisor([*command, "--processes", "1"], given.processes).run()
    follow_supervisor()
    app = load_app(given.app)
    options: dict[str, Any] = {
        "levels": _names(given.levels),
        "kinds": _names(given.kinds),
        "strict": given.strict,
        "prefetch": given.prefetch,
        "drain": given.drain,
    }
    if given.asyncio:
        worker: Worker = AsyncWorker(app, concurrency=given.asyncio, **options)
    else:
        worker = Worker(app, threads=given.threads, **options)
    code = run_here(worker)
    sys.stdout.flush()
    os._exit(code) if worker.is_alive else None
    return code


if __name__ == "__main__":
    sys.exit(main())
