"""What `worker dev` is made of: servers, items from a file, and a worker that edits restart."""
