"""The configuration: one frozen model, and all the ways to read, judge and describe it.

Rule: everything is derived from `model`. Importing this package is cheap; pydantic is only loaded with the parts
that need it, so that the command line can use `options` at once.
"""
