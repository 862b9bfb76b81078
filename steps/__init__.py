"""Phrases of the feature files, each one call of the harness."""
