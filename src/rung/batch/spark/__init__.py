"""The batch engine of a cluster: the same SQL on Spark."""
