"""Where cluster data comes from: one module per source, each returning a `model.Cluster`."""
