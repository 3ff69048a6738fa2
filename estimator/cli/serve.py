"""`estimator serve`: the page and the API on this machine."""

import argparse
import json
import os
import signal
import threading
import time
from contextlib import suppress
from importlib.util import find_spec

from estimator.cli.argument_parser import listed
from estimator.errors import EstimatorError, InvalidInput, MissingExtra, clipped

# What supervises workers starts as lightly as it can: only they load what answers.

HOSTS = "ESTIMATOR_HOSTS"  # tells workers which hosts are served
SUPERVISOR = "ESTIMATOR_SUPERVISOR"  # and whose they are
GRACE_S = 10  # in which requests in work are answered once the server is to stop
HEALTH_S = 60  # in which a worker must say that it lives: on a busy machine it may be slow to, and is not to be killed
WARM_AFTER_S = 0.3  # once requests are accepted, what answers is loaded, so that the first need not wait for it


def serve(options: argparse.Namespace) -> None:
    """Serve until stopped; requests in work are answered first."""
    for name in ("fastapi", "uvicorn", "python_multipart"):
        if find_spec(name) is None:
            raise MissingExtra(name, "serve")
    import uvicorn

    port, workers = _within(options.port, "--port", 0, 65535), _within(options.workers, "--workers", 1, 64)
    names = [options.host, *listed(options.allow_host)]
    os.environ[HOSTS] = json.dumps([f"[{name}]" if ":" in name else name for name in names])
    os.environ[SUPERVISOR] = str(os.getpid())
    shown = f"[{options.host}]" if ":" in options.host else options.host
    print(f"http://{shown}:{port}/ (stop with Ctrl-C)", flush=True)
    uvicorn.run(
        "estimator.cli.serve:application",
        factory=True,
        http="estimator.web.protocol:Prompt",
        host=options.host,
        port=port,
        workers=workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=15,
        timeout_worker_healthcheck=HEALTH_S,
        lifespan="off",
    )


def application() -> object:
    """The application of one worker."""
    from estimator.web.app import create

    warming = threading.Timer(WARM_AFTER_S, _warm)
    warming.daemon = True
    warming.start()
    supervisor = int(os.environ.get(SUPERVISOR, os.getpid()))
    if supervisor != os.getpid():  # it may have ended while this one began
        threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    return create(tuple(json.loads(os.environ.get(HOSTS, "[]"))))


def _within(text: str, option: str, least: int, most: int) -> int:
    """A whole number given to an option."""
    try:
        found = int(text)
    except ValueError:
        raise InvalidInput(f"{option} must be a whole number, not {clipped(text)}") from None
    if not least <= found <= most:
        raise InvalidInput(f"{option} is {least} to {most}, not {clipped(text)}")
    return found


def _warm() -> None:
    """Answer what is asked first, so that all of it is loaded."""
    with suppress(EstimatorError):  # facts of one's own may be wrong: whoever asks is told
        from estimator.web import answers, form, state

        first = state.state(())
        form.form(first.asked, first.others)
        answers.answered(first, "")


def _end_with(parent: int) -> None:
    """End when the process that started this one has ended, however it did: no worker is left behind."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
