"""Requests that schemathesis makes up from the OpenAPI document: no fault of the program, whatever is asked.

`python tests/page/fuzz_api.py 5000` runs so many; every refusal is a problem with a sentence.
"""

import sys
from collections import Counter

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from estimator.web.app import create

REFUSALS = (403, 404, 405, 408, 413, 414, 415, 422, 501, 503)


def run(cases: int) -> Counter[int]:
    """How many requests ended with which status."""
    client = TestClient(create(), base_url="http://127.0.0.1", raise_server_exceptions=False)
    described = client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(described)
    operations = [one.ok() for one in schema.get_all_operations()]
    seen: Counter[int] = Counter()
    for operation in operations:
        each = max(cases // len(operations), 1)

        @settings(
            max_examples=each,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            body = case.body if isinstance(case.body, dict | list) else None
            query = {key: str(value) for key, value in (case.query or {}).items()}
            found = client.request(case.method, case.formatted_path, params=query, json=body)
            seen[found.status_code] += 1
            assert found.status_code == 200 or found.status_code in REFUSALS, (found.status_code, found.text[:300])
            if found.status_code != 200:
                assert found.headers["content-type"] == "application/problem+json"
                assert found.json()["detail"]
            assert "Traceback" not in found.text

        ask()
    return seen


if __name__ == "__main__":
    print(dict(run(int(sys.argv[1]))))
