"""A file sent to a collection from the shell, and its job followed to the end.

A client like any other: it needs the standard library, no settings and no Django.
"""
