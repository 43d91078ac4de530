"""What `worker dev` is made of: servers, items from a file, and a worker that edits restart."""

# Set for the worker that `worker dev` runs: the file into which it writes how to try its handlers.
VARIABLE = "WORKER_DEV"
