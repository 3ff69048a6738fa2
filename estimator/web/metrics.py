"""Counts of one worker, in the text form that Prometheus reads."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # [s]


class Metrics:
    """Requests by route and status, how long they took, and how many are in work."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._within: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a request is in work."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def done(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[route, status] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]
        for bound in (*BUCKETS, float("inf")):
            self._within[route, bound] += seconds <= bound

    def text(self) -> str:
        """All counts; every worker has its own."""
        pid = f'pid="{os.getpid()}"'
        lines = ["# TYPE estimator_requests_total counter"]
        lines += [
            f'estimator_requests_total{{{pid},route="{r}",status="{s}"}} {n}' for (r, s), n in self._requests.items()
        ]
        lines += ["# TYPE estimator_request_seconds histogram"]
        for (route, bound), count in self._within.items():
            most = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'estimator_request_seconds_bucket{{{pid},route="{route}",le="{most}"}} {count}')
        for route, seconds in self._seconds.items():
            lines.append(f'estimator_request_seconds_sum{{{pid},route="{route}"}} {seconds:.6f}')
            lines.append(
                f'estimator_request_seconds_count{{{pid},route="{route}"}} {self._within[route, float("inf")]}'
            )
        lines += [
            "# TYPE estimator_requests_in_flight gauge",
            f"estimator_requests_in_flight{{{pid}}} {self.in_flight}",
        ]
        return "\n".join(lines) + "\n"
