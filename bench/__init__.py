"""The benchmarks of `make bench`; docs/benchmarks.md explains them."""
