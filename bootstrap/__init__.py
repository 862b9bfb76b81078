"""Makes the suite's environment on first use; standard library only, as nothing else is there yet."""
