"""What watches a cluster: Prometheus rules, a Grafana dashboard, and what to do when one fires."""
