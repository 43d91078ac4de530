"""Measures the worker beside a bare loop and beside other Python queues. See README.md.

The modules `meter` and `peers.*` are imported by other queues' own environments too, so this
package imports nothing, and those modules only the standard library and the queue they are for.
"""
