"""What is known to fail: the table of failures, and what a text or a log tells of them."""
