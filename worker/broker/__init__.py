"""Everything that talks to Redis. The only room that imports redis."""
