"""The rules of the config room, in process, on a clock that the tests move."""
