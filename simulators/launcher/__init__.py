"""Starts the other simulators as forks of one process that has imported everything once.

A Python program that imports what a simulator needs takes half a second of CPU time; a fork of one that has
it takes a few milliseconds. `python -m simulators.launcher` is the process to fork; `client.py` is a thin
program that asks it for one and then stands in for it: standard streams, signals and exit status are the
fork's own.

The launcher starts no thread before it forks, and never loads a library with threads of its own: a fork
of such a process was seen to hang for ever.
"""
