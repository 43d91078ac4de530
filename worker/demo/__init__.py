"""What `worker demo` is made of: tenants, their receiver, the producer, and what is shown of it."""
