"""What GET /metrics tells: the board's sums, and what the processes use, by the names that readers know them by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnxport.server import board as at
from onnxport.server.exposition import Family, Kind, Labels, Sample, histogram
from onnxport.server.processes import SUPERVISOR, Process, usage

_USAGE: tuple[tuple[str, Kind, str], ...] = (
    ("cpu_seconds", "counter", "Processor time used, in seconds."),
    ("resident_memory_bytes", "gauge", "Memory in use; pages shared with others count in each."),
    ("virtual_memory_bytes", "gauge", "Addresses in use."),
    ("open_fds", "gauge", "Open file descriptors."),
    ("max_fds", "gauge", "Most file descriptors that may be open."),
    ("start_time_seconds", "gauge", "When the process was started, in seconds since 1970."),
)


def families(
    sums: Sequence[float], processes: Sequence[Process], info: Mapping[str, str]
) -> Iterator[Family]:
    """All metrics. sums: of the board. info: the labels of the model's own metric, its `name` among them."""
    model = {"model": info["name"]}
    yield Family("onnxport_model", "info", "The model that is served.", [Sample(1.0, info)])
    yield from _requests(sums, model)
    yield from _predictions(sums, model)
    yield from _workers(sums, processes)


def _requests(sums: Sequence[float], model: Labels) -> Iterator[Family]:
    yield Family(
        "onnxport_requests", "counter", "Answered requests.", _by_route_and_status(sums, model)
    )
    yield Family(
        "onnxport_request_duration_seconds",
        "histogram",
        "From a request's last byte to its answer.",
        _durations(sums, model),
    )
    yield Family(
        "onnxport_rejected",
        "counter",
        "Refused requests, by the code that the caller was told.",
        [Sample(sums[cell], {"reason": reason}) for reason, cell in at.REJECTED.items()],
    )
    yield _one("requests_lost", "counter", "Requests whose caller didn't wait.", sums[at.LOST])
    yield _one("requests_in_flight", "gauge", "Requests being answered.", sums[at.IN_FLIGHT])
    yield _one("connections", "gauge", "Open connections.", sums[at.CONNECTIONS])


# Predictions are told of even before the first: a rate needs a zero to rise from.


def _by_route_and_status(sums: Sequence[float], model: Labels) -> Iterator[Sample]:
    for route, place in at.REQUESTS.items():
        counts = sums[place + at.STATUSES.start : place + at.STATUSES.stop]
        for status, count in zip(at.STATUSES, counts, strict=True):
            if count or (route, status) == ("predict", 200):
                yield Sample(count, {"route": route, "status": str(status), **model})


def _durations(sums: Sequence[float], model: Labels) -> Iterator[Sample]:
    for route, place in at.DURATION.items():
        samples = list(_histogram(sums, place, at.SECONDS, {"route": route, **model}))
        if route == "predict" or any(sample.value for sample in samples):
            yield from samples


def _predictions(sums: Sequence[float], model: Labels) -> Iterator[Family]:
    for name, told, place, bounds in (
        ("queue_duration_seconds", "From a request's last byte to its run.", at.QUEUE, at.SECONDS),
        ("inference_duration_seconds", "One run of the model.", at.INFERENCE, at.SECONDS),
        ("batch_rows", "Rows that share one run of the model.", at.BATCH, at.ROWS),
    ):
        samples = _histogram(sums, place, bounds, model)
        yield Family(f"onnxport_{name}", "histogram", told, samples)
    rows = [Sample(sums[at.BATCH], model)]
    yield Family("onnxport_rows", "counter", "Rows that the model has answered.", rows)


def _workers(sums: Sequence[float], processes: Sequence[Process]) -> Iterator[Family]:
    running = sum(process.name != SUPERVISOR for process in processes)
    yield _one("workers", "gauge", "Running worker processes.", running)
    yield _one("worker_restarts", "counter", "Replaced worker processes.", sums[at.RESTARTS])
    dropped = sums[at.LOG_DROPPED]
    yield _one("log_dropped", "counter", "Lines of the log that couldn't be written.", dropped)
    used = [({"worker": process.name}, usage(process)) for process in processes]
    for name, kind, told in _USAGE:
        samples = [Sample(each[name], labels) for labels, each in used if name in each]
        yield Family(f"process_{name}", kind, told, samples)


def _histogram(
    sums: Sequence[float], place: int, bounds: Sequence[float], labels: Labels
) -> Iterator[Sample]:
    counts = sums[place + 1 : place + 2 + len(bounds)]
    return histogram(labels, bounds, counts, total=sums[place])


def _one(name: str, kind: Kind, told: str, value: float) -> Family:
    return Family(f"onnxport_{name}", kind, told, [Sample(float(value), {})])
