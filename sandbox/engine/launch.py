"""Runs a Pulumi program, as Pulumi's Python language host does. Started by the engine as a script, in a process of its own.

The engine's tuning is here too, and none of it can be seen by the program:
* debug messages, of which the SDK sends five a resource and waits for each, are not sent: the engine would drop them;
* stack traces, which are a fifth of the SDK's time, are not taken: the engine does not store where a resource was made;
* at the end the SDK waits for the first of all that is still open, again and again: it is given what ends soon after in one go;
* what is loaded before the program runs is taken out of the garbage collector's sight, and it runs less often;
* there are enough threads for the calls that wait for the engine (the SDK takes one for each).
"""

import sys

# The script's folder is no place to import from: it holds modules with the names of the standard library's.
del sys.path[0]

import argparse  # noqa: E402
import asyncio  # noqa: E402
import atexit  # noqa: E402
import contextlib  # noqa: E402
import ctypes  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import signal  # noqa: E402
import traceback  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

THREADS = 64
GC_THRESHOLD = 100_000
MANY = 100  # open tasks, from which on patience pays
PATIENCE = 20e-6  # seconds for each of them
LONGEST_PATIENCE = 0.25
_PR_SET_PDEATHSIG = 1


class _QuietEngine:
    """The Engine service's stub, without the debug messages."""

    def __init__(self, stub: Any, debug: int) -> None:
        self._stub, self._debug = stub, debug

    def Log(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        return None if request.severity == self._debug else self._stub.Log(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)


class _PatientAsyncio:
    """The asyncio module, but that a wait for the first of many waits a moment longer for others."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def wait(tasks: Any, *, return_when: str = asyncio.ALL_COMPLETED) -> tuple[set[Any], set[Any]]:
        done, pending = await asyncio.wait(tasks, return_when=return_when)
        if len(pending) < MANY:
            return done, pending
        await asyncio.sleep(min(LONGEST_PATIENCE, len(pending) * PATIENCE))
        done |= {task for task in pending if task.done()}
        return done, pending - done


def _tune(pulumi: Any) -> None:
    from pulumi.runtime import resource, stack
    from pulumi.runtime.proto import engine_pb2, source_pb2

    settings = pulumi.runtime.settings.SETTINGS
    settings.engine = _QuietEngine(settings.engine, engine_pb2.DEBUG)
    if hasattr(resource, "_get_stack_trace"):
        resource._get_stack_trace = source_pb2.StackTrace
    if vars(stack).get("asyncio") is asyncio:
        vars(stack)["asyncio"] = _PatientAsyncio()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


def _end_with_the_engine() -> None:
    # However the engine ends: a program that it started must not go on alone. (Linux; elsewhere its calls fail.)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    _end_with_the_engine()
    parser = argparse.ArgumentParser()
    for name in ("project", "stack", "organization", "monitor", "engine", "root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("program")
    options = parser.parse_args()
    try:
        import pulumi
        import pulumi.runtime
    except ImportError:
        sys.stderr.write(traceback.format_exc())
        sys.stderr.write(f"the Pulumi SDK is not installed for {sys.executable}: `pip install pulumi`\n")
        return 1
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=options.monitor,
            engine=options.engine,
            project=options.project,
            stack=options.stack,
            organization=options.organization,
            root_directory=options.root,
            parallel=options.parallel,
            dry_run=options.dry_run,
        )
    )
    program = Path(options.program)
    # A file's folder is where it imports from; a folder's __main__.py has that from runpy.
    folder = program if program.is_dir() else program.parent
    os.chdir(folder)
    if not program.is_dir():
        sys.path.insert(0, str(folder))
    sys.argv = [str(program)]
    _tune(pulumi)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(max(THREADS, 2 * options.parallel), "pulumi"))
    # A program that fails leaves futures unobserved; asyncio would print each of them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - whatever the program raised
        pulumi.log.error("Program failed with an unhandled exception:\n" + _program_traceback(error))
        return 1
    finally:
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _program_traceback(error: BaseException) -> str:
    """The traceback without the frames of the SDK, of asyncio and of this file; all of it where nothing would be left."""
    import pulumi

    own = (str(Path(pulumi.__file__).parent), str(Path(asyncio.__file__).parent), __file__, "<frozen ")
    whole = traceback.TracebackException.from_exception(error)
    seen: traceback.TracebackException | None = whole
    while seen is not None:
        kept = [frame for frame in seen.stack if not frame.filename.startswith(own)]
        if kept or isinstance(error, SyntaxError):
            seen.stack = traceback.StackSummary.from_list(kept)
        seen = seen.__cause__ or seen.__context__
    return "".join(whole.format())


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    code = main()
    if code == 0:
        sys.exit(0)
    # Threads may still wait for an engine that has stopped: they keep nobody waiting, but what the program left to do at its
    # end is done.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
