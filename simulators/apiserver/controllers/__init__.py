"""Control loops over the store: what kube-controller-manager does as far as the chart needs it."""
