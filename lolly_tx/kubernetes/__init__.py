"""What objects of Kubernetes (Gateway API, Ingress) mean, as tables of a configuration: pure."""
