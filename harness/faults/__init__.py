"""Deliberate misbehaviours of simulators: which there are and which scenario notices each."""
