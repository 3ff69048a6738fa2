"""`estimator serve`: the page and the API on this machine."""

import argparse
import json
import os
import signal
import threading
import time

from estimator.cli.options import listed, whole
from estimator.errors import InvalidInput, MissingExtra

HOSTS = "ESTIMATOR_HOSTS"  # tells workers which hosts are served
SUPERVISOR = "ESTIMATOR_SUPERVISOR"  # and whose they are
GRACE_S = 10  # in which requests in work are answered once the server is to stop
HEALTH_S = 60  # in which a worker must say that it lives: on a busy machine it may be slow to, and is not to be killed


def serve(options: argparse.Namespace) -> None:
    """Serve until stopped; requests in work are answered first."""
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from None
    port, workers = whole(options.port, "--port"), whole(options.workers, "--workers")
    if port is None or workers is None or not 0 <= port <= 65535 or not 1 <= workers <= 64:
        raise InvalidInput("--port is 0 to 65535, --workers 1 to 64")
    names = [options.host, *listed(options.allow_host)]
    os.environ[HOSTS] = json.dumps([f"[{name}]" if ":" in name else name for name in names])
    os.environ[SUPERVISOR] = str(os.getpid())
    shown = f"[{options.host}]" if ":" in options.host else options.host
    print(f"http://{shown}:{port}/ (stop with Ctrl-C)", flush=True)
    uvicorn.run(
        "estimator.cli.serve:application",
        factory=True,
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

    supervisor = int(os.environ.get(SUPERVISOR, os.getpid()))
    if supervisor != os.getpid():  # it may have ended while this one began
        threading.Thread(target=_end_with, args=(supervisor,), daemon=True).start()
    return create(tuple(json.loads(os.environ.get(HOSTS, "[]"))))


def _end_with(parent: int) -> None:
    """End when the process that started this one has ended, however it did: no worker is left behind."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
