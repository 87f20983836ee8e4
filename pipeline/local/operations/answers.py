"""What the families of operations share: where the records come from, times, pages of lists, tags."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.operations import paging
from pipeline.local.operations.requests import one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from pipeline.local.storage import Storage
    from pipeline.local.store import Record, Store

    SortValue = Callable[[Record], float | str | None]

DEFAULT_PAGE, LARGEST_PAGE = 10, 100  # MaxResults of every List operation
_OF_THE_PAGE = ("NextToken", "MaxResults")  # what may differ from page to page
_TIMES = frozenset(
    (
        *("CreationTime", "LastModifiedTime", "StartTime", "EndTime", "Timestamp", "HyperParameterTuningEndTime"),
        *("TrainingStartTime", "TrainingEndTime", "ProcessingStartTime", "ProcessingEndTime"),
        *("TransformStartTime", "TransformEndTime"),
        *("StateUpdatedTimestamp", "StateTransitionedTimestamp", "AlarmConfigurationUpdatedTimestamp"),
    )
)


class Operations:
    """What an operation may use; LocalSageMaker is every family over one store."""

    store: Store
    storage: Storage
    home: str

    def __init__(self, store: Store, storage: Storage) -> None:
        self.store = store
        self.storage = storage
        self.home = store.home


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller sees of a stored body: keys that begin in lower case stay inside; times become datetime."""
    return {key: _with_datetimes(key, value) for key, value in body.items() if key[:1].isupper()}


def _with_datetimes(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if key in _TIMES and isinstance(value, int | float):
        return paging.moment(value)
    if isinstance(value, dict):
        return {inner: _with_datetimes(inner, member) for inner, member in value.items()}
    if isinstance(value, list):
        return [_with_datetimes("", member) for member in value]
    return value


def pick(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those members that are there."""
    return {name: body[name] for name in names if name in body}


def matching(records: Iterable[Record], request: Mapping[str, Any], inclusive: bool = False) -> list[Record]:
    """Applies the filters that List operations share. `inclusive`: CreationTimeAfter, as paging.between has it."""
    return [
        record
        for record in records
        if _between(record.created, request, "CreationTime", inclusive)
        and _between(record.modified, request, "LastModifiedTime")
        and request.get("NameContains", "") in record.name
        and request.get("StatusEquals", record.status) == record.status
    ]


def _between(at: float, request: Mapping[str, Any], name: str, inclusive: bool = False) -> bool:
    return paging.between(at, request.get(f"{name}After"), request.get(f"{name}Before"), inclusive)


def page(
    operation: str,
    records: Iterable[Record],
    request: Mapping[str, Any],
    *,
    order: str = "Ascending",
    by: str = "CreationTime",
    keys: Mapping[str, SortValue] | None = None,
    largest: int = LARGEST_PAGE,
) -> tuple[list[Record], dict[str, str]]:
    """Sorted, cut to MaxResults; the second part is {"NextToken": …} while more follow.

    A token holds the last record's place in the order, not a count: records added or removed meanwhile make nothing
    appear twice or not at all. It counts for the same operation with the same filters alone.
    Records whose sort value is None are left out, as the service leaves trials without an objective out.
    """
    sorts: dict[str, SortValue] = {"CreationTime": lambda r: r.created, "Name": lambda r: r.name, **(keys or {})}
    one_of(operation, "SortBy", request.get("SortBy", by), tuple(sorts))
    one_of(operation, "SortOrder", request.get("SortOrder", order), ("Ascending", "Descending"))
    value = sorts[request.get("SortBy", by)]
    descending = request.get("SortOrder", order) == "Descending"
    places = [([place, record.name], record) for record in records if (place := value(record)) is not None]
    places.sort(key=lambda entry: entry[0], reverse=descending)
    scope = {"operation": operation, **{key: value for key, value in request.items() if key not in _OF_THE_PAGE}}
    if "NextToken" in request:
        last = paging.from_token(scope, request["NextToken"])
        places = [entry for entry in places if (entry[0] < last if descending else entry[0] > last)]
    size = _page_size(operation, request, largest)
    more = {"NextToken": paging.to_token(scope, places[size - 1][0])} if len(places) > size else {}
    return [record for _, record in places[:size]], more


def _page_size(operation: str, request: Mapping[str, Any], largest: int) -> int:
    size = request.get("MaxResults", DEFAULT_PAGE)
    if not isinstance(size, int) or not 1 <= size <= largest:
        raise ServiceError("ValidationException", f"MaxResults {size!r} is not a number from 1 to {largest}", operation)
    return size


def save_tags(store: Store, arn: str, tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Adds to the resource's tags; returns all of them."""
    with store.transaction():
        known: dict[str, str] = next((record.body for record in store.find("tags", arn)), {})
        known.update((tag["Key"], tag["Value"]) for tag in tags)
        if known:
            store.put("tags", arn, known)
        return known


def remove_tags(store: Store, arn: str) -> None:
    for record in store.find("tags", arn):
        store.remove("tags", record.name)
