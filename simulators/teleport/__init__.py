"""Simulated Teleport: Auth and Proxy Service, Kubernetes agent, `tctl` and `tsh`; nothing of Teleport runs here."""
