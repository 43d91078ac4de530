"""`worker.testing`: run one job without a server, or a worker within a test.

```python
ran = await run(app, "resize", {"url": "..."}, config={"width": 100})
assert ran.status == "succeeded"
```

The pytest plugin (`redis_dynamo_worker_pytest.py`) has fixtures for the rest.
"""

from worker.testing.one_job import Ran, run
from worker.testing.running_worker import RunningWorker

__all__ = ["Ran", "RunningWorker", "run"]
