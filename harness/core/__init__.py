"""What every part of the harness stands on; imports nothing else of it."""
