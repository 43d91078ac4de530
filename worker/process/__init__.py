"""One worker process: claims jobs, keeps leases, recovers dead workers, shuts down."""
