"""`estimator serve`: the page and the API on this machine."""

import argparse
import json
import os

from estimator.cli.options import listed, whole
from estimator.errors import InvalidInput, MissingExtra

HOSTS = "ESTIMATOR_HOSTS"  # tells workers which hosts are served
GRACE_S = 10  # in which requests in work are answered once the server is to stop


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
        lifespan="off",
    )


def application() -> object:
    """The application of one worker."""
    from estimator.web.app import create

    return create(tuple(json.loads(os.environ.get(HOSTS, "[]"))))
