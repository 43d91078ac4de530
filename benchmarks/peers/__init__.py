"""Other queues, each in a virtual environment of its own: a module here for each.

`python -m benchmarks.peers.NAME worker` works on jobs until killed, `fill COUNT HANDLER` enqueues
no-op or `sleep1ms` jobs, `probe COUNT` enqueues `pickup` jobs one at a time. BENCH_REDIS_PORT says
where Redis is.
"""
