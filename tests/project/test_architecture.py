"""How the house is built: imports run one way, one seam to each server, small files."""

import ast
import builtins
import inspect
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import worker

pytestmark = pytest.mark.once

ROOT = Path(worker.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}

# Each room, and the rooms it may import. A room never imports a room of its own floor, so the table
# reads from the ground up. `testing` and later rooms go where what they import allows.
MAY_IMPORT: dict[str, set[str]] = {
    # plain data
    "errors": set(),
    "runtime": {"errors"},
    "jobs": {"errors"},
    "signatures": set(),  # for types only
    "app": {"errors", "jobs"},
    "settings": {"errors", "jobs"},
    # one room for each thing that is talked to, and one for what decides
    "broker": {"errors", "runtime", "jobs", "settings"},
    "config": {"errors", "runtime", "jobs", "settings"},
    "execution": {"errors", "runtime", "jobs", "app"},
    # what users open
    "connections": {"errors", "runtime", "settings", "broker", "config"},
    "client": {"errors", "runtime", "jobs", "app", "settings", "broker", "connections"},
    "sync_client": {"errors", "runtime", "jobs", "settings", "client"},
    # the worker process
    "process": {
        *("errors", "runtime", "jobs", "app", "settings"),
        *("broker", "config", "execution", "connections"),
    },
}
EVERYTHING = {*MAY_IMPORT}
MAY_IMPORT |= {
    "demo": EVERYTHING,
    "dev": {*EVERYTHING, "demo"},
    "cli": {*EVERYTHING, "demo", "dev"},
    "testing": EVERYTHING,
    "__main__": {"cli", "runtime"},
    "__init__": EVERYTHING,  # for types only; at run time it imports a name when it is asked for
}

# Which rooms may import a server's SDK.
SDKS = {
    "redis": {"broker"},
    "hiredis": {"broker"},
    **{sdk: {"config"} for sdk in ("boto3", "botocore", "aioboto3", "aiobotocore")},
}

DYNAMO_CALLS = {
    "batch_get_item",
    "batch_write_item",
    "create_table",
    "delete_item",
    "describe_table",
    "get_item",
    "get_waiter",
    "list_tables",
    "put_item",
    "query",
    "scan",
    "update_item",
}


def room(module: str) -> str:
    """`cli.dead` is in `cli`."""
    return module.partition(".")[0]


def imported(module: str) -> set[str]:
    """The modules of ours that it imports, wherever in the file; those for annotations apart."""
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {
                name if name.removeprefix("worker.") in FILES else node.module for name in names
            }
    ours = {name.removeprefix("worker.") for name in found if name.startswith("worker.")}
    return {f"{name}.__init__" if f"{name}.__init__" in FILES else name for name in ours}


def nodes(module: str) -> Iterator[ast.AST]:
    """All of a module's syntax, but for what stands under `if TYPE_CHECKING`."""
    todo: list[ast.AST] = [ast.parse(FILES[module].read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        todo += ast.iter_child_nodes(node)


def top_level_names(module: str) -> set[str]:
    """The packages that it imports, wherever in the file; those for annotations apart."""
    names: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(room(node.module))
        elif isinstance(node, ast.Import):
            names |= {room(alias.name) for alias in node.names}
    return names


def calls(module: str) -> Iterator[tuple[str, str]]:
    """(`self._redis`, `scan`) for `self._redis.scan(...)`."""
    for node in nodes(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in FILES
        for name in imported(module)
        if room(name) != room(module) and room(name) not in MAY_IMPORT[room(module)]
    ]
    assert not wrong


def test_files_never_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter({module: imported(module) for module in FILES}).static_order())


def test_only_the_rooms_of_the_servers_import_their_sdks() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in FILES
        for name in top_level_names(module)
        if name in SDKS and room(module) not in SDKS[name]
    ]
    assert not wrong


def test_dynamodb_is_called_in_one_file() -> None:
    calling = {
        module
        for module in FILES
        for on, name in calls(module)
        if name in DYNAMO_CALLS and "client" in on
    }
    assert calling == {"config.table"}


@pytest.mark.parametrize("module", FILES)
def test_files_and_functions_stay_small(module: str) -> None:
    assert len(FILES[module].read_text().splitlines()) <= 500
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= 60, f"{module}.{node.name} has {lines} lines"


@pytest.mark.parametrize("module", FILES)
def test_every_file_says_what_it_is_for(module: str) -> None:
    tree = ast.parse(FILES[module].read_text())
    assert ast.get_docstring(tree), module


def test_the_public_names_are_those_that_worker_exports() -> None:
    tree = ast.parse(FILES["__init__"].read_text())
    for_types = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name
        for node in for_types.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert worker.__all__ == sorted(set(worker.__all__))
    assert typed == set(worker.__all__) == set(dir(worker))
    for name in worker.__all__:
        value = getattr(worker, name)
        assert value.__name__ == name
        assert value.__module__.startswith("worker."), name
        assert inspect.getdoc(value), name


def test_no_other_name_passes_for_public() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Broker'"):
        _ = worker.Broker


def test_every_error_of_ours_is_a_worker_error_and_stands_in_the_tree() -> None:
    from worker import errors  # noqa: PLC0415 - looked into, not used

    drawn = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if inspect.isclass(value) and not hasattr(builtins, name):
            assert name in drawn
            assert issubclass(value, errors.WorkerError | errors.HandlerSignal), name
