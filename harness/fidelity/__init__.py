"""Compares what was seen on simulated programs with what was seen on real ones, scenario by scenario."""
