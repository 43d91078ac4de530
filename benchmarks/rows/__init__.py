"""The rows of the table of targets, each with how it is measured and judged."""

from benchmarks.rows import backlog, config, footprint, latency, producing, throughput
from benchmarks.rows.row import Row

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        throughput.THROUGHPUT,
        config.FRESH,
        config.COLD,
        config.HOT,
        throughput.SLEEP,
        latency.PICKUP,
        latency.ROUNDTRIP,
        producing.ENQUEUE_MANY,
        throughput.PROCESSES,
        footprint.IDLE,
        latency.NETWORK,
        backlog.BACKLOG,
        throughput.PAYLOAD,
        footprint.STARTUP,
    )
}
