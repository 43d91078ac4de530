"""What the fork server imports before it forks: all of `worker` but its demo."""

import importlib
import pkgutil

import worker

for module in pkgutil.walk_packages(worker.__path__, "worker."):
    if not module.name.startswith(("worker.demo", "worker.__main__")):
        importlib.import_module(module.name)
