"""The API of a Kubernetes cluster, as much of it as a proxy asks."""
