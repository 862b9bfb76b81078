"""The lab's kubelet: one node whose pods are local processes; it knows nothing of Teleport."""
