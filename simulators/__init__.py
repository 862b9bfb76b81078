"""Programs that stand in for real ones; they import nothing of the harness."""
