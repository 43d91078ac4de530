"""The errors of a broker that can't be reached, for rooms that don't import redis."""

from redis.exceptions import RedisError

BROKER_DOWN: tuple[type[Exception], ...] = (RedisError, OSError)
"""What every command to Redis may raise while Redis is away or refuses commands.

For `except BROKER_DOWN as error:`. Whether Redis ran the command is then unknown.
"""
