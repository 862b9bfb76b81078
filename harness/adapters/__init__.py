"""The only rooms that start processes and speak to AWS and Kubernetes."""
